import random


def input_generator():
    """Two or three articles that share some of ten tags; all but `ai` pass the filter."""
    tags = ["python", "docker", "linux", "science", "energy"]
    tags += ["history", "travel", "garden", "music", "poetry"]
    chosen = random.sample(tags, random.randint(6, 10))
    articles = [" ".join(["ai", *chosen[:4]]), " ".join(chosen[3:7])]
    if len(chosen) > 7:
        articles.append(" ".join(chosen[6:]))
    return {"articles": articles, "shortest": random.randint(3, 5)}
