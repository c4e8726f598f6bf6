# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_spa_keygen_global_optspecs
    string join \n server= open= invoke= port= config-dir= state-dir= suite= window= max-window= expires= freshness= receipt out= qr= json h/help V/version
end

function __fish_spa_keygen_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_spa_keygen_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_spa_keygen_using_subcommand
    set -l cmd (__fish_spa_keygen_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -l server -d 'Name or address of this server, as its clients reach it' -r
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -l open -d 'What the profile may open, like tcp/22 or tcp/22,udp/51820' -r
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -l invoke -d 'Actions of spad.toml that it may have run, like wake-nas or wake-nas,backup; with no --open it opens nothing' -r
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -l port -d 'UDP port of the site, when it is made [default: a random one that is free]' -r
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -l config-dir -d 'Folder of site.toml and profiles' -r -F
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -l state-dir -d 'Folder of the replay journal' -r -F
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -l suite -d 'How datagrams are sealed: aes256gcm or xchacha20poly1305' -r
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -l window -d 'How long a door stays open unless the client wishes otherwise' -r
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -l max-window -d 'The longest that a client may wish for' -r
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -l expires -d 'Opens nothing from then on: 2027-01-01, or 2027-01-01T12:00:00Z' -r
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -l freshness -d 'How old is told from new [default: clock, or monotonic on a machine without a real-time clock]' -r -f -a "clock\t'By the server\'s clock'
monotonic\t'By the order of the client\'s own times'"
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -l out -d 'File of the client\'s half, or a folder for it [default: ./NAME.spa.toml]' -r -F
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -l qr -d 'Also show the client\'s half as a QR code, on a terminal; with =always wherever the output goes' -r -f -a "always\t'Into a file or a pipe as well'"
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -l receipt -d 'The server tells the client what became of each knock, if spad.toml allows receipts'
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -l json -d 'Print one JSON object on one line, also when it fails; for scripts'
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -s h -l help -d 'Print help'
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -s V -l version -d 'Print version'
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -a "accept" -d 'Answer the line that spa-client enrol printed: makes the server\'s half, and prints a line for the client'
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -a "rotate" -d 'Give a profile, or the site, a new key; the one before works for a while'
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -a "revoke" -d 'Take profiles away: the running spad closes their doors at once'
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -a "list" -d 'Say which profiles there are, how long they last, and when each was last used'
complete -c spa-keygen -n "__fish_spa_keygen_needs_command" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand accept" -l name -d 'What the profile is called [default: as the client wishes]' -r
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand accept" -l server -d 'Name or address of this server, as its clients reach it [default: as the client has it]' -r
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand accept" -l open -d 'What the profile may open, like tcp/22 or tcp/22,udp/51820' -r
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand accept" -l invoke -d 'Actions of spad.toml that it may have run, like wake-nas or wake-nas,backup; with no --open it opens nothing' -r
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand accept" -l port -d 'UDP port of the site, when it is made [default: a random one that is free]' -r
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand accept" -l config-dir -d 'Folder of site.toml and profiles' -r -F
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand accept" -l state-dir -d 'Folder of the replay journal' -r -F
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand accept" -l suite -d 'How datagrams are sealed: aes256gcm or xchacha20poly1305' -r
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand accept" -l window -d 'How long a door stays open unless the client wishes otherwise' -r
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand accept" -l max-window -d 'The longest that a client may wish for' -r
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand accept" -l expires -d 'Opens nothing from then on: 2027-01-01, or 2027-01-01T12:00:00Z' -r
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand accept" -l freshness -d 'How old is told from new [default: clock, or monotonic on a machine without a real-time clock]' -r -f -a "clock\t'By the server\'s clock'
monotonic\t'By the order of the client\'s own times'"
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand accept" -l yes -d 'Do not ask whether the client shows the same fingerprint; compare it before the profile is relied on'
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand accept" -l json -d 'Print one JSON object on one line, also when it fails; for scripts'
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand accept" -l receipt -d 'The server tells the client what became of each knock, if spad.toml allows receipts'
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand accept" -s h -l help -d 'Print help'
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand rotate" -l server -d 'Name or address of this server, as its clients reach it' -r
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand rotate" -l overlap -d 'For how long the present key still works, beside the new one: a time, or `until-used`; 0s ends it at once' -r
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand rotate" -l out -d 'File of the client\'s half, or a folder for it [default: ./NAME.spa.toml]' -r -F
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand rotate" -l config-dir -d 'Folder of site.toml and profiles' -r -F
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand rotate" -l state-dir -d 'Folder of the replay journal' -r -F
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand rotate" -l site -d 'The key of the site instead: makes every client\'s half anew; the one before is valid until --finish'
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand rotate" -l finish -d 'End the validity of the site\'s key before the present one'
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand rotate" -l json -d 'Print one JSON object on one line, also when it fails; for scripts'
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand rotate" -s h -l help -d 'Print help'
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand revoke" -l config-dir -d 'Folder of site.toml and profiles' -r -F
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand revoke" -l state-dir -d 'Folder of the replay journal' -r -F
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand revoke" -l json -d 'Print one JSON object on one line, also when it fails; for scripts'
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand revoke" -s h -l help -d 'Print help'
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand list" -l config-dir -d 'Folder of site.toml and profiles' -r -F
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand list" -l state-dir -d 'Folder of the replay journal' -r -F
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand list" -l json -d 'Print it as JSON'
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand list" -s h -l help -d 'Print help'
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand help; and not __fish_seen_subcommand_from accept rotate revoke list help" -f -a "accept" -d 'Answer the line that spa-client enrol printed: makes the server\'s half, and prints a line for the client'
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand help; and not __fish_seen_subcommand_from accept rotate revoke list help" -f -a "rotate" -d 'Give a profile, or the site, a new key; the one before works for a while'
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand help; and not __fish_seen_subcommand_from accept rotate revoke list help" -f -a "revoke" -d 'Take profiles away: the running spad closes their doors at once'
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand help; and not __fish_seen_subcommand_from accept rotate revoke list help" -f -a "list" -d 'Say which profiles there are, how long they last, and when each was last used'
complete -c spa-keygen -n "__fish_spa_keygen_using_subcommand help; and not __fish_seen_subcommand_from accept rotate revoke list help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
