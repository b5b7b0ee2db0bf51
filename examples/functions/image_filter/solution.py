# import necessary packages
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

# all helper functions and constants
KERNELS = {
    "edges": np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]]),
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    "blur": np.ones((3, 3), dtype=np.int64),
}


def apply_kernel(pixels, mode):
    """Slide the 3-by-3 filter over the padded picture and sum the products."""
    padded = np.pad(pixels, 1, mode="edge")
    windows = sliding_window_view(padded, (3, 3))
    sums = np.einsum("rcij,ij->rc", windows, KERNELS[mode])
    if mode == "blur":
        sums = sums // 9
    return np.clip(sums, 0, 255)


# main function
def main_solution(picture, mode):
    """Filter a grey picture and return it as plain lists of numbers."""
    return apply_kernel(np.array(picture, dtype=np.int64), mode).tolist()
