# limits of its own
# ends: ok
# prints: refused

. probe.sh
(ulimit -c unlimited && [ $(ulimit -c) = unlimited ]) 2>/dev/null && worked cores
(ulimit -n 1000000) 2>/dev/null && worked descriptors
(ulimit -t unlimited) 2>/dev/null && worked time
(echo -1000 > /proc/self/oom_score_adj) 2>/dev/null && worked oom
echo refused
