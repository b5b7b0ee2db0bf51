// ends by a signal it raises
// ends: no_result

#include "probe.h"

int main() { raise(SIGKILL); }
