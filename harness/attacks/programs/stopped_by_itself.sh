# stopped by itself
# ends: timeout

kill -STOP $$
