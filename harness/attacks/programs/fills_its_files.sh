# fills its files
# ends: ok, exit_nonzero

head -c 10G /dev/zero > f; echo $?
