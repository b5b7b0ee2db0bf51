# import necessary packages
import re
from collections import defaultdict

# all helper functions and constants
LINE = re.compile(
    r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d) "
    r"(?P<method>GET|POST|PUT|DELETE) (?P<path>/\S*) (?P<status>[1-5]\d\d) (?P<ms>\d+)ms"
)


def parse_line(line):
    """Return (second of the day, path, status, milliseconds), or None for a damaged line."""
    match = LINE.fullmatch(line)
    if match is None:
        return None
    hour, minute, second = (int(match[name]) for name in ("hour", "minute", "second"))
    if hour > 23 or minute > 59 or second > 59:
        return None
    return hour * 3600 + minute * 60 + second, match["path"], int(match["status"]), int(match["ms"])


# main function
def main_solution(lines):
    """Summarise the errors, the slowest path and the durations in a server log."""
    parsed = [parse_line(line) for line in lines]
    entries = [entry for entry in parsed if entry is not None]
    total_by_path = defaultdict(int)
    for _, path, _, duration in entries:
        total_by_path[path] += duration
    times = [entry[0] for entry in entries]
    slowest = min(total_by_path, key=lambda path: (-total_by_path[path], path), default="")
    return {
        "errors": sum(status >= 500 for _, _, status, _ in entries),
        "slowest_path": slowest,
        "mean_ms": round(sum(e[3] for e in entries) / len(entries), 1) if entries else 0.0,
        "span_s": max(times) - min(times) if times else 0,
        "skipped": len(lines) - len(entries),
    }
