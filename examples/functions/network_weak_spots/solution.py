# import necessary packages
import networkx as nx


# all helper functions
def build_network(cables):
    """Make a graph with one edge per cable."""
    network = nx.Graph()
    network.add_edges_from((cable[0], cable[1]) for cable in cables)
    return network


def main_part(parts):
    """Pick the largest part, and the alphabetically first among equals."""
    return min(parts, key=lambda part: (-len(part), min(part)))


def weak_cables(network):
    """List the bridges of the network in a fixed order."""
    return " ".join(sorted("".join(sorted(edge)) for edge in nx.bridges(network)))


# main function
def main_solution(cables):
    """Find the cables and computers on which a network depends."""
    network = build_network(cables)
    parts = [set(part) for part in nx.connected_components(network)]
    largest = network.subgraph(main_part(parts))
    return {
        "weak_cables": weak_cables(network),
        "weak_computers": "".join(sorted(nx.articulation_points(network))),
        "parts": len(parts),
        "longest_way": int(nx.diameter(largest)),
    }
