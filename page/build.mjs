// Builds the page into the service's package: `npm ci --ignore-scripts && npm run build`.
// The same sources and lock file give the same bytes, which tests/page/test_page_build.py holds.
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const target = process.argv[2] ?? join(here, "../service/execbox_service/api/page/static");

const result = await build({
  absWorkingDir: here,
  entryPoints: ["src/page.ts", "src/records.ts", "src/page.css"],
  outdir: target,
  bundle: true,
  minify: true,
  charset: "utf8",
  format: "iife",
  target: ["chrome114", "firefox115", "safari16.4"],
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
});

// What the bundle holds of others, with the licence of each.
const packages = new Set();
for (const input of Object.keys(result.metafile.inputs)) {
  const match = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
  if (match) packages.add(match[1]);
}
const parts = [];
for (const name of [...packages].sort()) {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const text = await readFile(join(folder, "LICENSE"), "utf8");
  parts.push(`${name} ${version} (${license})\n\n${text.trim()}\n`);
}
await writeFile(join(target, "licenses.txt"), parts.join(`\n${"-".repeat(72)}\n\n`));
for (const name of ["index.html", "icon.svg"]) {
  await writeFile(join(target, name), await readFile(join(here, "src", name)));
}
