# every signal ignored
# ends: timeout

for s in {1..64}; do trap '' $s 2>/dev/null; done; while :; do :; done
