"""The HTTP service: runs functions in throwaway sandboxes and reports what they did."""
