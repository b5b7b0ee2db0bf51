// illegal instruction
// ends: no_result

#include "probe.h"

int main() { __builtin_trap(); }
