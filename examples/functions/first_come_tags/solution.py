# all class and function definitions
class TagIndex:
    """The different tags of a magazine."""

    def __init__(self):
        self.tags = set()

    def read(self, article):
        """Add the tags of one article."""
        self.tags.update(article.lower().split())

    def long_enough(self, shortest):
        """List the tags with enough letters.

        This is the mistake: a set of texts is listed in the order of its hashes, which differs
        from one interpreter to the next. Sorting the list would settle it.
        """
        return [tag for tag in self.tags if len(tag) >= shortest]


def number_tags(tags):
    """Write each tag behind its number."""
    return [f"{number}:{tag}" for number, tag in enumerate(tags, start=1)]


# main function
def main_solution(articles, shortest):
    """Collect and number the tags of several articles."""
    index = TagIndex()
    for article in articles:
        index.read(article)
    return number_tags(index.long_enough(shortest))
