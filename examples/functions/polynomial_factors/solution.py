# import necessary packages
import sympy

# all helper functions and constants
X = sympy.Symbol("x")


def describe_factor(factor, multiplicity):
    """Write a factor as its coefficients and its multiplicity."""
    numbers = ",".join(str(int(number)) for number in factor.all_coeffs())
    return f"{numbers}^{multiplicity}"


def positive_factors(polynomial):
    """Factor over the integers and move every sign into the content."""
    content, factors = polynomial.factor_list()
    content = int(content)
    result = []
    for factor, multiplicity in factors:
        if factor.LC() < 0:
            factor = -factor
            content *= (-1) ** multiplicity
        result.append(describe_factor(factor, multiplicity))
    return content, sorted(result, key=lambda text: (len(text), text))


# main function
def main_solution(coefficients):
    """Factor a polynomial and count its real roots."""
    polynomial = sympy.Poly(coefficients, X, domain="ZZ")
    content, factors = positive_factors(polynomial)
    square_free = polynomial.sqf_part()
    return {
        "content": content,
        "factors": factors,
        "discriminant": int(polynomial.discriminant()),
        "real_roots": int(square_free.count_roots()),
    }
