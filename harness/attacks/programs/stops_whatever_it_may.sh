# stops whatever it may
# ends: timeout

kill -STOP -1; while :; do sleep 9; done
