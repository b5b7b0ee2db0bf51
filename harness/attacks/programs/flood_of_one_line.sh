# flood of one line
# ends: timeout

yes | tr -d '\n'
