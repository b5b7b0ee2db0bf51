# import necessary packages
from collections import Counter


# all helper functions
def prime_factors(number):
    """Return the different primes that divide a number, by trial division."""
    primes = set()
    divisor = 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            primes.add(divisor)
            number //= divisor
        divisor += 1
    if number > 1:
        primes.add(number)
    return primes


# main function
def main_solution(numbers):
    """Find the primes that several numbers have in common.

    The answer is a set, for which JSON has no notation: it would have to be a sorted list.
    """
    counts = Counter()
    for number in numbers:
        counts.update(prime_factors(number))
    return {prime for prime, count in counts.items() if count > 1}
