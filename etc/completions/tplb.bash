# bash completion for tplb, tplb-origin and tplbctl

_tplb()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}

	case $prev in
	-f | --file) COMPREPLY=($(compgen -f -- "$cur")) ;;
	-e | --engine) COMPREPLY=($(compgen -W "pool async" -- "$cur")) ;;
	-w | --workers) COMPREPLY=() ;;
	*) COMPREPLY=($(compgen -W "--file --test --print --graph --engine --workers --version --help" -- "$cur")) ;;
	esac
}

_tplb_origin()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}

	case $prev in
	-r | --root) COMPREPLY=($(compgen -d -- "$cur")) ;;
	-e | --engine) COMPREPLY=($(compgen -W "pool async" -- "$cur")) ;;
	-d | --driver) COMPREPLY=($(compgen -W "auto io_uring epoll" -- "$cur")) ;;
	-k | --keepalive) COMPREPLY=($(compgen -W "on off" -- "$cur")) ;;
	-l | --listen | -w | --workers | -q | --queue) COMPREPLY=() ;;
	*) COMPREPLY=($(compgen -W "--listen --engine --workers --queue --root --driver --keepalive --version --help" -- "$cur")) ;;
	esac
}

# The words of the command so far, without options; the socket's path into $socket.
_tplbctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} words=() socket=() i

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-s | --socket)
			socket=(-s "${COMP_WORDS[++i]}")
			;;
		-*) ;;
		*) words+=("${COMP_WORDS[i]}") ;;
		esac
	done
	case "${COMP_WORDS[COMP_CWORD - 1]}" in
	-s | --socket)
		COMPREPLY=($(compgen -f -- "$cur"))
		return
		;;
	esac
	case "${words[*]}" in
	"") COMPREPLY=($(compgen -W "show set reload advise help --socket --version --help" -- "$cur")) ;;
	show) COMPREPLY=($(compgen -W "status servers pool queue counters" -- "$cur")) ;;
	set) COMPREPLY=($(compgen -W "server pool" -- "$cur")) ;;
	"set pool") COMPREPLY=($(compgen -W "workers" -- "$cur")) ;;
	"set server")
		COMPREPLY=($(compgen -W "$(tplbctl "${socket[@]}" show servers 2>/dev/null | awk 'NR > 1 { print $1 "/" $2 }')" -- "$cur"))
		;;
	"set server "*) [ ${#words[@]} -ne 3 ] || COMPREPLY=($(compgen -W "ready drain maint" -- "$cur")) ;;
	*) COMPREPLY=() ;;
	esac
}

complete -F _tplb tplb
complete -F _tplb_origin tplb-origin
complete -F _tplbctl tplbctl
