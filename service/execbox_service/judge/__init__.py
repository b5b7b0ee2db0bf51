"""Pure decisions about what came out of a sandbox: no I/O, no engine, no HTTP."""
