// threads without end
// ends: no_result, memory_exceeded, timeout

#include "probe.h"

int main() {
    std::vector<std::thread> all;
    for (;;) try {
            all.emplace_back([] { pause(); });
        } catch (...) {
            abort();
        }
}
