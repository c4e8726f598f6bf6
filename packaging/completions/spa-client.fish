# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_spa_client_global_optspecs
    string join \n A/access= forward= D/destination= profile= a/allow= source-port= w/window= once p/port= 4/ipv4 6/ipv6 wait= close copies= receipt dry-run save-packet= v/verbose q/quiet h/help V/version
end

function __fish_spa_client_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_spa_client_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_spa_client_using_subcommand
    set -l cmd (__fish_spa_client_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c spa-client -n "__fish_spa_client_needs_command" -s A -l access -d 'What to open, like tcp/22 or tcp/22,udp/51820 [default: all that the profile opens]' -r
complete -c spa-client -n "__fish_spa_client_needs_command" -l forward -d 'Where the one service is to lead instead of the server itself: an inner host and port, like 10.0.0.5:443' -r
complete -c spa-client -n "__fish_spa_client_needs_command" -s D -l destination -d 'Name or address of the server [default: the profile\'s]' -r
complete -c spa-client -n "__fish_spa_client_needs_command" -l profile -d 'Name of the profile, or path of its file [default: the one for the server, or the only one]' -r -F
complete -c spa-client -n "__fish_spa_client_needs_command" -s a -l allow -d 'For whom: an address, a prefix like 192.0.2.0/24, `source` (whoever the datagram comes from), or `auto`' -r
complete -c spa-client -n "__fish_spa_client_needs_command" -l source-port -d 'Let in only connections from this port or these, like 40000 or 40000-40010' -r
complete -c spa-client -n "__fish_spa_client_needs_command" -s w -l window -d 'How long the door is to stay open, like 45s [default: as the server has it]' -r
complete -c spa-client -n "__fish_spa_client_needs_command" -s p -l port -d 'UDP port that the datagram goes to [default: the profile\'s]' -r
complete -c spa-client -n "__fish_spa_client_needs_command" -l wait -d 'Wait until the service answers, and say how long that took, or why it probably does not; 10s unless a time is given' -r
complete -c spa-client -n "__fish_spa_client_needs_command" -l copies -d 'How many datagrams go to each address, against loss, from 1 to 5' -r
complete -c spa-client -n "__fish_spa_client_needs_command" -l save-packet -d 'Write the first datagram to a file as well, in place of what was there' -r -F
complete -c spa-client -n "__fish_spa_client_needs_command" -l once -d 'For one connection: the door shuts as the first TCP handshake is complete, or with its window'
complete -c spa-client -n "__fish_spa_client_needs_command" -s 4 -l ipv4 -d 'Use the server\'s IPv4 addresses only'
complete -c spa-client -n "__fish_spa_client_needs_command" -s 6 -l ipv6 -d 'Use the server\'s IPv6 addresses only'
complete -c spa-client -n "__fish_spa_client_needs_command" -l close -d 'Shut what this profile opened, for whatever address: the services of -A, or all'
complete -c spa-client -n "__fish_spa_client_needs_command" -l receipt -d 'Ask the server to say what became of it, and wait a second for that [default: as the profile has it]'
complete -c spa-client -n "__fish_spa_client_needs_command" -l dry-run -d 'Say in clear what would be sent, and send nothing'
complete -c spa-client -n "__fish_spa_client_needs_command" -s v -l verbose -d 'Tell the time, the size and the addresses of each datagram'
complete -c spa-client -n "__fish_spa_client_needs_command" -s q -l quiet -d 'Say nothing unless it fails'
complete -c spa-client -n "__fish_spa_client_needs_command" -s h -l help -d 'Print help'
complete -c spa-client -n "__fish_spa_client_needs_command" -s V -l version -d 'Print version'
complete -c spa-client -n "__fish_spa_client_needs_command" -f -a "connect" -d 'Knock unless the door is open, connect, and relay standard input and output: for ssh\'s ProxyCommand'
complete -c spa-client -n "__fish_spa_client_needs_command" -f -a "ensure" -d 'Knock unless a window is believed open, and wait until the service answers: for ssh\'s `Match exec`'
complete -c spa-client -n "__fish_spa_client_needs_command" -f -a "run" -d 'Knock, wait until the service answers, and run a command that finds it in SPA_ADDRESS and SPA_PORT'
complete -c spa-client -n "__fish_spa_client_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s A -l access -d 'What to open, like tcp/22 or tcp/22,udp/51820 [default: all that the profile opens]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s D -l destination -d 'Name or address of the server [default: the profile\'s]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -l profile -d 'Name of the profile, or path of its file [default: the one for the server, or the only one]' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s a -l allow -d 'For whom: an address, a prefix like 192.0.2.0/24, `source` (whoever the datagram comes from), or `auto`' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s w -l window -d 'How long the door is to stay open, like 45s [default: as the server has it]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s p -l port -d 'UDP port that the datagram goes to [default: the profile\'s]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -l wait -d 'Wait until the service answers, and say how long that took, or why it probably does not; 10s unless a time is given' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s 4 -l ipv4 -d 'Use the server\'s IPv4 addresses only'
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s 6 -l ipv6 -d 'Use the server\'s IPv6 addresses only'
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s v -l verbose -d 'Tell the time, the size and the addresses of each datagram'
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s q -l quiet -d 'Say nothing unless it fails'
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s h -l help -d 'Print help'
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s V -l version -d 'Print version'
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s A -l access -d 'What to open, like tcp/22 or tcp/22,udp/51820 [default: all that the profile opens]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s D -l destination -d 'Name or address of the server [default: the profile\'s]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -l profile -d 'Name of the profile, or path of its file [default: the one for the server, or the only one]' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s a -l allow -d 'For whom: an address, a prefix like 192.0.2.0/24, `source` (whoever the datagram comes from), or `auto`' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s w -l window -d 'How long the door is to stay open, like 45s [default: as the server has it]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s p -l port -d 'UDP port that the datagram goes to [default: the profile\'s]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -l wait -d 'Wait until the service answers, and say how long that took, or why it probably does not; 10s unless a time is given' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s 4 -l ipv4 -d 'Use the server\'s IPv4 addresses only'
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s 6 -l ipv6 -d 'Use the server\'s IPv6 addresses only'
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s v -l verbose -d 'Tell the time, the size and the addresses of each datagram'
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s q -l quiet -d 'Say nothing unless it fails'
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s h -l help -d 'Print help'
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s V -l version -d 'Print version'
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s A -l access -d 'What to open, like tcp/22 or tcp/22,udp/51820 [default: all that the profile opens]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s D -l destination -d 'Name or address of the server [default: the profile\'s]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -l profile -d 'Name of the profile, or path of its file [default: the one for the server, or the only one]' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s a -l allow -d 'For whom: an address, a prefix like 192.0.2.0/24, `source` (whoever the datagram comes from), or `auto`' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s w -l window -d 'How long the door is to stay open, like 45s [default: as the server has it]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s p -l port -d 'UDP port that the datagram goes to [default: the profile\'s]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -l wait -d 'Wait until the service answers, and say how long that took, or why it probably does not; 10s unless a time is given' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s 4 -l ipv4 -d 'Use the server\'s IPv4 addresses only'
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s 6 -l ipv6 -d 'Use the server\'s IPv6 addresses only'
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s v -l verbose -d 'Tell the time, the size and the addresses of each datagram'
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s q -l quiet -d 'Say nothing unless it fails'
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s h -l help -d 'Print help'
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s V -l version -d 'Print version'
complete -c spa-client -n "__fish_spa_client_using_subcommand help; and not __fish_seen_subcommand_from connect ensure run help" -f -a "connect" -d 'Knock unless the door is open, connect, and relay standard input and output: for ssh\'s ProxyCommand'
complete -c spa-client -n "__fish_spa_client_using_subcommand help; and not __fish_seen_subcommand_from connect ensure run help" -f -a "ensure" -d 'Knock unless a window is believed open, and wait until the service answers: for ssh\'s `Match exec`'
complete -c spa-client -n "__fish_spa_client_using_subcommand help; and not __fish_seen_subcommand_from connect ensure run help" -f -a "run" -d 'Knock, wait until the service answers, and run a command that finds it in SPA_ADDRESS and SPA_PORT'
complete -c spa-client -n "__fish_spa_client_using_subcommand help; and not __fish_seen_subcommand_from connect ensure run help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
