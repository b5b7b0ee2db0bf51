# closes its streams
# ends: ok

exec 0<&- 1>&- 2>&-; exit 0
