# import necessary packages
import heapq
from collections import defaultdict


# all class and function definitions
class RoadMap:
    """Towns and the priced one-way roads that leave them."""

    def __init__(self, roads):
        self.leaving = defaultdict(list)
        for road in roads:
            origin, end, toll = road[0], road[1], int(road[2:])
            self.leaving[origin].append((end, toll))

    def cheapest(self, start, goal):
        """Dijkstra's search, ordered by toll, then length, then the letters of the route."""
        frontier = [(0, 1, start)]
        settled = set()
        while frontier:
            toll, length, route = heapq.heappop(frontier)
            town = route[-1]
            if town == goal:
                return toll, route
            if town in settled:
                continue
            settled.add(town)
            for end, price in self.leaving[town]:
                if end not in settled:
                    heapq.heappush(frontier, (toll + price, length + 1, route + end))
        return -1, ""


# main function
def main_solution(roads, start, goal):
    """Find the cheapest route between two towns on one-way toll roads."""
    toll, route = RoadMap(roads).cheapest(start, goal)
    return {"toll": toll, "route": route}
