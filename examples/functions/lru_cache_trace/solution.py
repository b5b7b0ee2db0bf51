# all class and function definitions
class Entry:
    """A key and its value in a doubly linked list, least recently used first."""

    def __init__(self, key="", value=0):
        self.key, self.value = key, value
        self.before = self.after = self

    def unlink(self):
        """Take the entry out of the list it is in."""
        self.before.after, self.after.before = self.after, self.before

    def link_before(self, other):
        """Insert the entry in front of another."""
        self.before, self.after = other.before, other
        other.before.after = other.before = self


class Cache:
    """A table of entries, plus a ring whose anchor separates the newest from the oldest."""

    def __init__(self, capacity):
        self.capacity, self.table, self.anchor, self.evicted = capacity, {}, Entry(), ""

    def touch(self, key):
        """Make an entry the most recently used, and return it."""
        entry = self.table[key]
        entry.unlink()
        entry.link_before(self.anchor)
        return entry

    def put(self, key, value):
        """Store a value, throwing out the oldest entry if there is no room."""
        if key in self.table:
            self.touch(key).value = value
            return
        if len(self.table) == self.capacity:
            oldest = self.anchor.after
            self.remove(oldest.key)
            self.evicted += oldest.key
        self.table[key] = Entry(key, value)
        self.table[key].link_before(self.anchor)

    def remove(self, key):
        """Forget a key, if it is there."""
        if key in self.table:
            self.table.pop(key).unlink()


# main function
def main_solution(capacity, requests):
    """Replay requests against a cache that forgets the least recently used key."""
    cache, found = Cache(capacity), []
    for request in requests:
        action, key, *value = request.split()
        if action == "put":
            cache.put(key, int(value[0]))
        elif action == "del":
            cache.remove(key)
        else:
            found.append(cache.touch(key).value if key in cache.table else -1)
    left, entry = "", cache.anchor.after
    while entry is not cache.anchor:
        left, entry = left + entry.key, entry.after
    return {"found": found, "evicted": cache.evicted, "left": left}
