# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_spa_client_global_optspecs
    string join \n A/access= forward= D/destination= profile= passphrase-file= a/allow= stun= source-port= w/window= once p/port= 4/ipv4 6/ipv6 wait= close invoke= copies= receipt dry-run save-packet= json v/verbose q/quiet h/help V/version
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
complete -c spa-client -n "__fish_spa_client_needs_command" -l passphrase-file -d 'File of the profile\'s passphrase, its first line, instead of asking for it' -r -F
complete -c spa-client -n "__fish_spa_client_needs_command" -s a -l allow -d 'For whom: an address, a prefix like 192.0.2.0/24, `source` (whoever the datagram comes from), `resolve` (the own address as a STUN server sees it), `learnt` (as the server\'s last receipt told it), or `auto`' -r
complete -c spa-client -n "__fish_spa_client_needs_command" -l stun -d 'STUN server that tells the own address, for `-a resolve`; nobody is asked unless one is named' -r
complete -c spa-client -n "__fish_spa_client_needs_command" -l source-port -d 'Let in only connections from this port or these, like 40000 or 40000-40010' -r
complete -c spa-client -n "__fish_spa_client_needs_command" -s w -l window -d 'How long the door is to stay open, like 45s [default: as the server has it]' -r
complete -c spa-client -n "__fish_spa_client_needs_command" -s p -l port -d 'UDP port that the datagram goes to [default: the profile\'s]' -r
complete -c spa-client -n "__fish_spa_client_needs_command" -l wait -d 'Wait until the service answers, and say how long that took, or why it probably does not; 10s unless a time is given' -r
complete -c spa-client -n "__fish_spa_client_needs_command" -l invoke -d 'Open nothing, and have the server run the action that it calls NAME, with one argument at most' -r
complete -c spa-client -n "__fish_spa_client_needs_command" -l copies -d 'How many datagrams go to each address, against loss, from 1 to 5' -r
complete -c spa-client -n "__fish_spa_client_needs_command" -l save-packet -d 'Write the first datagram to a file as well, in place of what was there' -r -F
complete -c spa-client -n "__fish_spa_client_needs_command" -l once -d 'For one connection: the door shuts as the first TCP handshake is complete, or with its window'
complete -c spa-client -n "__fish_spa_client_needs_command" -s 4 -l ipv4 -d 'Use the server\'s IPv4 addresses only'
complete -c spa-client -n "__fish_spa_client_needs_command" -s 6 -l ipv6 -d 'Use the server\'s IPv6 addresses only'
complete -c spa-client -n "__fish_spa_client_needs_command" -l close -d 'Shut what this profile opened, for whatever address: the services of -A, or all'
complete -c spa-client -n "__fish_spa_client_needs_command" -l receipt -d 'Ask the server to say what became of it, and wait a second for that [default: as the profile has it]'
complete -c spa-client -n "__fish_spa_client_needs_command" -l dry-run -d 'Say in clear what would be sent, and send nothing'
complete -c spa-client -n "__fish_spa_client_needs_command" -l json -d 'Print one JSON object on one line, also when it fails; for scripts'
complete -c spa-client -n "__fish_spa_client_needs_command" -s v -l verbose -d 'Tell the time, the size and the addresses of each datagram'
complete -c spa-client -n "__fish_spa_client_needs_command" -s q -l quiet -d 'Say nothing unless it fails'
complete -c spa-client -n "__fish_spa_client_needs_command" -s h -l help -d 'Print help'
complete -c spa-client -n "__fish_spa_client_needs_command" -s V -l version -d 'Print version'
complete -c spa-client -n "__fish_spa_client_needs_command" -f -a "connect" -d 'Knock unless the door is open, connect, and relay standard input and output: for ssh\'s ProxyCommand'
complete -c spa-client -n "__fish_spa_client_needs_command" -f -a "ensure" -d 'Knock unless a window is believed open, and wait until the service answers: for ssh\'s `Match exec`'
complete -c spa-client -n "__fish_spa_client_needs_command" -f -a "run" -d 'Knock, wait until the service answers, and run a command that finds it in SPA_ADDRESS and SPA_PORT'
complete -c spa-client -n "__fish_spa_client_needs_command" -f -a "proxy" -d 'Be a proxy (SOCKS and HTTP CONNECT) for browsers and other programs, that knocks before it connects'
complete -c spa-client -n "__fish_spa_client_needs_command" -f -a "keep" -d 'Keep the door open: knock again before it shuts, and when this machine\'s address changes; shut it at the end'
complete -c spa-client -n "__fish_spa_client_needs_command" -f -a "profiles" -d 'List, show, import, remove, encrypt and decrypt the profiles of this device'
complete -c spa-client -n "__fish_spa_client_needs_command" -f -a "enrol" -d 'Get a profile from a server: print a line for it, then take its answer; neither is secret'
complete -c spa-client -n "__fish_spa_client_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s A -l access -d 'What to open, like tcp/22 or tcp/22,udp/51820 [default: all that the profile opens]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s D -l destination -d 'Name or address of the server [default: the profile\'s]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -l profile -d 'Name of the profile, or path of its file [default: the one for the server, or the only one]' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -l passphrase-file -d 'File of the profile\'s passphrase, its first line, instead of asking for it' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s a -l allow -d 'For whom: an address, a prefix like 192.0.2.0/24, `source` (whoever the datagram comes from), `resolve` (the own address as a STUN server sees it), `learnt` (as the server\'s last receipt told it), or `auto`' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -l stun -d 'STUN server that tells the own address, for `-a resolve`; nobody is asked unless one is named' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s w -l window -d 'How long the door is to stay open, like 45s [default: as the server has it]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s p -l port -d 'UDP port that the datagram goes to [default: the profile\'s]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -l wait -d 'Wait until the service answers, and say how long that took, or why it probably does not; 10s unless a time is given' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s 4 -l ipv4 -d 'Use the server\'s IPv4 addresses only'
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s 6 -l ipv6 -d 'Use the server\'s IPv6 addresses only'
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -l json -d 'Print one JSON object on one line, also when it fails; for scripts'
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s v -l verbose -d 'Tell the time, the size and the addresses of each datagram'
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s q -l quiet -d 'Say nothing unless it fails'
complete -c spa-client -n "__fish_spa_client_using_subcommand connect" -s h -l help -d 'Print help'
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s A -l access -d 'What to open, like tcp/22 or tcp/22,udp/51820 [default: all that the profile opens]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s D -l destination -d 'Name or address of the server [default: the profile\'s]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -l profile -d 'Name of the profile, or path of its file [default: the one for the server, or the only one]' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -l passphrase-file -d 'File of the profile\'s passphrase, its first line, instead of asking for it' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s a -l allow -d 'For whom: an address, a prefix like 192.0.2.0/24, `source` (whoever the datagram comes from), `resolve` (the own address as a STUN server sees it), `learnt` (as the server\'s last receipt told it), or `auto`' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -l stun -d 'STUN server that tells the own address, for `-a resolve`; nobody is asked unless one is named' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s w -l window -d 'How long the door is to stay open, like 45s [default: as the server has it]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s p -l port -d 'UDP port that the datagram goes to [default: the profile\'s]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -l wait -d 'Wait until the service answers, and say how long that took, or why it probably does not; 10s unless a time is given' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s 4 -l ipv4 -d 'Use the server\'s IPv4 addresses only'
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s 6 -l ipv6 -d 'Use the server\'s IPv6 addresses only'
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -l json -d 'Print one JSON object on one line, also when it fails; for scripts'
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s v -l verbose -d 'Tell the time, the size and the addresses of each datagram'
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s q -l quiet -d 'Say nothing unless it fails'
complete -c spa-client -n "__fish_spa_client_using_subcommand ensure" -s h -l help -d 'Print help'
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s A -l access -d 'What to open, like tcp/22 or tcp/22,udp/51820 [default: all that the profile opens]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s D -l destination -d 'Name or address of the server [default: the profile\'s]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -l profile -d 'Name of the profile, or path of its file [default: the one for the server, or the only one]' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -l passphrase-file -d 'File of the profile\'s passphrase, its first line, instead of asking for it' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s a -l allow -d 'For whom: an address, a prefix like 192.0.2.0/24, `source` (whoever the datagram comes from), `resolve` (the own address as a STUN server sees it), `learnt` (as the server\'s last receipt told it), or `auto`' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -l stun -d 'STUN server that tells the own address, for `-a resolve`; nobody is asked unless one is named' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s w -l window -d 'How long the door is to stay open, like 45s [default: as the server has it]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s p -l port -d 'UDP port that the datagram goes to [default: the profile\'s]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -l wait -d 'Wait until the service answers, and say how long that took, or why it probably does not; 10s unless a time is given' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s 4 -l ipv4 -d 'Use the server\'s IPv4 addresses only'
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s 6 -l ipv6 -d 'Use the server\'s IPv6 addresses only'
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -l json -d 'Print one JSON object on one line, also when it fails; for scripts'
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s v -l verbose -d 'Tell the time, the size and the addresses of each datagram'
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s q -l quiet -d 'Say nothing unless it fails'
complete -c spa-client -n "__fish_spa_client_using_subcommand run" -s h -l help -d 'Print help'
complete -c spa-client -n "__fish_spa_client_using_subcommand proxy" -l listen -d 'Where to listen: an address of this machine\'s loopback, and a port' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand proxy" -s A -l access -d 'What to open, like tcp/22 or tcp/22,udp/51820 [default: all that the profile opens]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand proxy" -s D -l destination -d 'Name or address of the server [default: the profile\'s]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand proxy" -l profile -d 'Name of the profile, or path of its file [default: the one for the server, or the only one]' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand proxy" -l passphrase-file -d 'File of the profile\'s passphrase, its first line, instead of asking for it' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand proxy" -s a -l allow -d 'For whom: an address, a prefix like 192.0.2.0/24, `source` (whoever the datagram comes from), `resolve` (the own address as a STUN server sees it), `learnt` (as the server\'s last receipt told it), or `auto`' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand proxy" -l stun -d 'STUN server that tells the own address, for `-a resolve`; nobody is asked unless one is named' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand proxy" -s w -l window -d 'How long the door is to stay open, like 45s [default: as the server has it]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand proxy" -s p -l port -d 'UDP port that the datagram goes to [default: the profile\'s]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand proxy" -l wait -d 'Wait until the service answers, and say how long that took, or why it probably does not; 10s unless a time is given' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand proxy" -l direct -d 'Connect without a knock to what no profile is for, instead of refusing'
complete -c spa-client -n "__fish_spa_client_using_subcommand proxy" -s 4 -l ipv4 -d 'Use the server\'s IPv4 addresses only'
complete -c spa-client -n "__fish_spa_client_using_subcommand proxy" -s 6 -l ipv6 -d 'Use the server\'s IPv6 addresses only'
complete -c spa-client -n "__fish_spa_client_using_subcommand proxy" -l json -d 'Print one JSON object on one line, also when it fails; for scripts'
complete -c spa-client -n "__fish_spa_client_using_subcommand proxy" -s v -l verbose -d 'Tell the time, the size and the addresses of each datagram'
complete -c spa-client -n "__fish_spa_client_using_subcommand proxy" -s q -l quiet -d 'Say nothing unless it fails'
complete -c spa-client -n "__fish_spa_client_using_subcommand proxy" -s h -l help -d 'Print help'
complete -c spa-client -n "__fish_spa_client_using_subcommand keep" -s A -l access -d 'What to open, like tcp/22 or tcp/22,udp/51820 [default: all that the profile opens]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand keep" -s D -l destination -d 'Name or address of the server [default: the profile\'s]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand keep" -l profile -d 'Name of the profile, or path of its file [default: the one for the server, or the only one]' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand keep" -l passphrase-file -d 'File of the profile\'s passphrase, its first line, instead of asking for it' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand keep" -s a -l allow -d 'For whom: an address, a prefix like 192.0.2.0/24, `source` (whoever the datagram comes from), `resolve` (the own address as a STUN server sees it), `learnt` (as the server\'s last receipt told it), or `auto`' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand keep" -l stun -d 'STUN server that tells the own address, for `-a resolve`; nobody is asked unless one is named' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand keep" -s w -l window -d 'How long the door is to stay open, like 45s [default: as the server has it]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand keep" -s p -l port -d 'UDP port that the datagram goes to [default: the profile\'s]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand keep" -l wait -d 'Wait until the service answers, and say how long that took, or why it probably does not; 10s unless a time is given' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand keep" -s 4 -l ipv4 -d 'Use the server\'s IPv4 addresses only'
complete -c spa-client -n "__fish_spa_client_using_subcommand keep" -s 6 -l ipv6 -d 'Use the server\'s IPv6 addresses only'
complete -c spa-client -n "__fish_spa_client_using_subcommand keep" -l json -d 'Print one JSON object on one line, also when it fails; for scripts'
complete -c spa-client -n "__fish_spa_client_using_subcommand keep" -s v -l verbose -d 'Tell the time, the size and the addresses of each datagram'
complete -c spa-client -n "__fish_spa_client_using_subcommand keep" -s q -l quiet -d 'Say nothing unless it fails'
complete -c spa-client -n "__fish_spa_client_using_subcommand keep" -s h -l help -d 'Print help'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and not __fish_seen_subcommand_from list show import remove encrypt decrypt help" -l passphrase-file -d 'File of the profile\'s passphrase, its first line, instead of asking for it' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and not __fish_seen_subcommand_from list show import remove encrypt decrypt help" -l json -d 'Print one JSON object on one line, also when it fails; for scripts'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and not __fish_seen_subcommand_from list show import remove encrypt decrypt help" -s q -l quiet -d 'Say nothing unless it fails'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and not __fish_seen_subcommand_from list show import remove encrypt decrypt help" -s h -l help -d 'Print help'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and not __fish_seen_subcommand_from list show import remove encrypt decrypt help" -f -a "list" -d 'One line for each profile'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and not __fish_seen_subcommand_from list show import remove encrypt decrypt help" -f -a "show" -d 'All that a profile says, but its keys'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and not __fish_seen_subcommand_from list show import remove encrypt decrypt help" -f -a "import" -d 'Take in a profile from a file, or from a paste'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and not __fish_seen_subcommand_from list show import remove encrypt decrypt help" -f -a "remove" -d 'Remove a profile from this device; the server keeps its half'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and not __fish_seen_subcommand_from list show import remove encrypt decrypt help" -f -a "encrypt" -d 'Put a profile under a passphrase'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and not __fish_seen_subcommand_from list show import remove encrypt decrypt help" -f -a "decrypt" -d 'Take the passphrase off a profile'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and not __fish_seen_subcommand_from list show import remove encrypt decrypt help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from list" -l passphrase-file -d 'File of the profile\'s passphrase, its first line, instead of asking for it' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from list" -l json -d 'Print one JSON object on one line, also when it fails; for scripts'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say nothing unless it fails'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from show" -l passphrase-file -d 'File of the profile\'s passphrase, its first line, instead of asking for it' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from show" -l json -d 'Print one JSON object on one line, also when it fails; for scripts'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say nothing unless it fails'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from import" -l name -d 'What to call it here [default: the profile\'s own name]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from import" -l passphrase-file -d 'File of the profile\'s passphrase, its first line, instead of asking for it' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from import" -l force -d 'Put it in place of one that has the name already'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from import" -l json -d 'Print one JSON object on one line, also when it fails; for scripts'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from import" -s q -l quiet -d 'Say nothing unless it fails'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from remove" -l passphrase-file -d 'File of the profile\'s passphrase, its first line, instead of asking for it' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from remove" -l force -d 'Do not ask'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from remove" -l json -d 'Print one JSON object on one line, also when it fails; for scripts'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Say nothing unless it fails'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from encrypt" -l passphrase-file -d 'File of the profile\'s passphrase, its first line, instead of asking for it' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from encrypt" -l json -d 'Print one JSON object on one line, also when it fails; for scripts'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from encrypt" -s q -l quiet -d 'Say nothing unless it fails'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from encrypt" -s h -l help -d 'Print help'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from decrypt" -l passphrase-file -d 'File of the profile\'s passphrase, its first line, instead of asking for it' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from decrypt" -l json -d 'Print one JSON object on one line, also when it fails; for scripts'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from decrypt" -s q -l quiet -d 'Say nothing unless it fails'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from decrypt" -s h -l help -d 'Print help'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from help" -f -a "list" -d 'One line for each profile'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from help" -f -a "show" -d 'All that a profile says, but its keys'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from help" -f -a "import" -d 'Take in a profile from a file, or from a paste'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Remove a profile from this device; the server keeps its half'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from help" -f -a "encrypt" -d 'Put a profile under a passphrase'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from help" -f -a "decrypt" -d 'Take the passphrase off a profile'
complete -c spa-client -n "__fish_spa_client_using_subcommand profiles; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c spa-client -n "__fish_spa_client_using_subcommand enrol" -l name -d 'What the profile is to be called [default: this machine\'s name]' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand enrol" -l finish -d 'The line with which the server answered, or - to paste it' -r
complete -c spa-client -n "__fish_spa_client_using_subcommand enrol" -l passphrase-file -d 'File of the profile\'s passphrase, its first line, instead of asking for it' -r -F
complete -c spa-client -n "__fish_spa_client_using_subcommand enrol" -l force -d 'Begin anew where one is pending'
complete -c spa-client -n "__fish_spa_client_using_subcommand enrol" -l json -d 'Print one JSON object on one line, also when it fails; for scripts'
complete -c spa-client -n "__fish_spa_client_using_subcommand enrol" -s q -l quiet -d 'Say nothing unless it fails'
complete -c spa-client -n "__fish_spa_client_using_subcommand enrol" -s h -l help -d 'Print help'
complete -c spa-client -n "__fish_spa_client_using_subcommand help; and not __fish_seen_subcommand_from connect ensure run proxy keep profiles enrol help" -f -a "connect" -d 'Knock unless the door is open, connect, and relay standard input and output: for ssh\'s ProxyCommand'
complete -c spa-client -n "__fish_spa_client_using_subcommand help; and not __fish_seen_subcommand_from connect ensure run proxy keep profiles enrol help" -f -a "ensure" -d 'Knock unless a window is believed open, and wait until the service answers: for ssh\'s `Match exec`'
complete -c spa-client -n "__fish_spa_client_using_subcommand help; and not __fish_seen_subcommand_from connect ensure run proxy keep profiles enrol help" -f -a "run" -d 'Knock, wait until the service answers, and run a command that finds it in SPA_ADDRESS and SPA_PORT'
complete -c spa-client -n "__fish_spa_client_using_subcommand help; and not __fish_seen_subcommand_from connect ensure run proxy keep profiles enrol help" -f -a "proxy" -d 'Be a proxy (SOCKS and HTTP CONNECT) for browsers and other programs, that knocks before it connects'
complete -c spa-client -n "__fish_spa_client_using_subcommand help; and not __fish_seen_subcommand_from connect ensure run proxy keep profiles enrol help" -f -a "keep" -d 'Keep the door open: knock again before it shuts, and when this machine\'s address changes; shut it at the end'
complete -c spa-client -n "__fish_spa_client_using_subcommand help; and not __fish_seen_subcommand_from connect ensure run proxy keep profiles enrol help" -f -a "profiles" -d 'List, show, import, remove, encrypt and decrypt the profiles of this device'
complete -c spa-client -n "__fish_spa_client_using_subcommand help; and not __fish_seen_subcommand_from connect ensure run proxy keep profiles enrol help" -f -a "enrol" -d 'Get a profile from a server: print a line for it, then take its answer; neither is secret'
complete -c spa-client -n "__fish_spa_client_using_subcommand help; and not __fish_seen_subcommand_from connect ensure run proxy keep profiles enrol help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c spa-client -n "__fish_spa_client_using_subcommand help; and __fish_seen_subcommand_from profiles" -f -a "list" -d 'One line for each profile'
complete -c spa-client -n "__fish_spa_client_using_subcommand help; and __fish_seen_subcommand_from profiles" -f -a "show" -d 'All that a profile says, but its keys'
complete -c spa-client -n "__fish_spa_client_using_subcommand help; and __fish_seen_subcommand_from profiles" -f -a "import" -d 'Take in a profile from a file, or from a paste'
complete -c spa-client -n "__fish_spa_client_using_subcommand help; and __fish_seen_subcommand_from profiles" -f -a "remove" -d 'Remove a profile from this device; the server keeps its half'
complete -c spa-client -n "__fish_spa_client_using_subcommand help; and __fish_seen_subcommand_from profiles" -f -a "encrypt" -d 'Put a profile under a passphrase'
complete -c spa-client -n "__fish_spa_client_using_subcommand help; and __fish_seen_subcommand_from profiles" -f -a "decrypt" -d 'Take the passphrase off a profile'
