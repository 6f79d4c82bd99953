# fish completion for tplb, tplb-origin and tplbctl

complete -c tplb -s f -l file -r -d "configuration"
complete -c tplb -s t -l test -d "check the configuration"
complete -c tplb -s T -l print -d "print the effective configuration"
complete -c tplb -s g -l graph -d "print it as a graph"
complete -c tplb -s e -l engine -x -a "pool async" -d "engine"
complete -c tplb -s w -l workers -x -d "number of workers"
complete -c tplb -s v -l version -d "print the version"
complete -c tplb -s h -l help -d "print the usage"

complete -c tplb-origin -s l -l listen -x -d "where to listen"
complete -c tplb-origin -s e -l engine -x -a "pool async" -d "engine"
complete -c tplb-origin -s w -l workers -x -d "threads or loops"
complete -c tplb-origin -s q -l queue -x -d "places in the queue"
complete -c tplb-origin -s r -l root -r -d "files to serve"
complete -c tplb-origin -s d -l driver -x -a "auto io_uring epoll" -d "driver"
complete -c tplb-origin -s k -l keepalive -x -a "on off" -d "keep connections"
complete -c tplb-origin -s v -l version -d "print the version"
complete -c tplb-origin -s h -l help -d "print the usage"

function __tplbctl_at
    set -l said (commandline -opc)[2..-1]
    test "$said" = "$argv"
end
function __tplbctl_servers
    tplbctl show servers 2>/dev/null | awk 'NR > 1 { print $1 "/" $2 }'
end
complete -c tplbctl -f
complete -c tplbctl -s s -l socket -r -F -d "socket"
complete -c tplbctl -s v -l version -d "print the version"
complete -c tplbctl -s h -l help -d "print the usage"
complete -c tplbctl -n "__tplbctl_at" -a "show set reload advise help"
complete -c tplbctl -n "__tplbctl_at show" -a "status servers pool queue counters"
complete -c tplbctl -n "__tplbctl_at set" -a "server pool"
complete -c tplbctl -n "__tplbctl_at set pool" -a "workers"
complete -c tplbctl -n "__tplbctl_at set server" -a "(__tplbctl_servers)"
