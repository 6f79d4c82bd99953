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

# As `tplbctl help` has them. A word in capitals stands for others, | between words means either, and what is in brackets may be left out.
set -g __tplbctl_commands "show status
show servers
show listeners
show pool
show queue
show counters
show config
show connections [N] [parked|queued|busy|closing] [listener=NAME] [client=ADDRESS]
show workers
show events [N]
set server UPSTREAM/SERVER drain|ready|maint|weight [N]
set pool workers N
reload [SECONDS]
upgrade
advise
trace SECONDS
top
help"

# As commands take them, one a line.
function __tplbctl_servers
    tplbctl $argv show servers 2>/dev/null | sed -n -e '2,$s/\( [^ ]*\)\{6\}$//' -e '2,$s/\\\\\(.\)/\1/g' -e '2,$p'
end

# What a word of the list means: WORD, tplbctl's options.
function __tplbctl_word
    set -l word (string trim -c '[]' -- $argv[1])
    if test "$word" = UPSTREAM/SERVER
        __tplbctl_servers $argv[2..-1]
        return
    end
    for part in (string split '|' -- $word)
        string replace -r '[A-Z].*' '' -- $part | string match -r '.+'
    end
end

# The words that may come next, one a line; the arguments are those so far.
function __tplbctl_next
    set -l said
    set -l options
    set -l tokens $argv
    while set -q tokens[1]
        switch $tokens[1]
            case -s --socket
                set options -s $tokens[2]
                set -e tokens[1]
            case '-*'
            case '*'
                set -a said $tokens[1]
        end
        set -e tokens[1]
    end
    set -l n (count $said)
    for line in (string split \n -- $__tplbctl_commands)
        set -l parts (string split ' ' -- $line)
        set -l fits 1
        for i in (seq $n)
            if not set -q parts[$i]
                set fits 0
            else if test "$parts[$i]" != "$said[$i]"; and not string match -qr '[A-Z|]' -- $parts[$i]
                set fits 0
            end
        end
        set -l at (math $n + 1)
        test $fits = 1; and set -q parts[$at]; or continue
        __tplbctl_word $parts[$at] $options
        for part in $parts[$at..-1]
            string match -q '[*' -- $part; and string match -q '[*' -- $parts[$at]; and __tplbctl_word $part $options
        end
    end | sort -u
end

function __tplbctl_said
    set -l tokens (commandline -opc)
    __tplbctl_next $tokens[2..-1]
end
function __tplbctl_tops
    contains -- top (commandline -opc)
end
complete -c tplbctl -f
complete -c tplbctl -s s -l socket -r -F -d "socket"
complete -c tplbctl -s j -l json -d "print JSON"
complete -c tplbctl -s v -l version -d "print the version"
complete -c tplbctl -s h -l help -d "print the usage"
complete -c tplbctl -n __tplbctl_tops -s n -l iterations -x -d "how many times"
complete -c tplbctl -n __tplbctl_tops -s d -l delay -x -d "seconds between them"
complete -c tplbctl -a "(__tplbctl_said)"
