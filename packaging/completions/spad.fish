# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_spad_global_optspecs
    string join \n config= state-dir= v/verbose q/quiet observe h/help V/version
end

function __fish_spad_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_spad_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_spad_using_subcommand
    set -l cmd (__fish_spad_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c spad -n "__fish_spad_needs_command" -l config -d 'The configuration; site.toml and profiles/ stand beside it' -r -F
complete -c spad -n "__fish_spad_needs_command" -l state-dir -d 'Folder of the replay journal, and of what `spad guard` loads' -r -F
complete -c spad -n "__fish_spad_needs_command" -s v -l verbose -d 'Say more in the log'
complete -c spad -n "__fish_spad_needs_command" -s q -l quiet -d 'Only warnings and errors in the log'
complete -c spad -n "__fish_spad_needs_command" -l observe -d 'Judge, remember and log knocks, but leave the firewall alone: nothing is guarded, and no door opens'
complete -c spad -n "__fish_spad_needs_command" -s h -l help -d 'Print help'
complete -c spad -n "__fish_spad_needs_command" -s V -l version -d 'Print version'
complete -c spad -n "__fish_spad_needs_command" -f -a "check" -d 'Say what is wrong with the files and the host, and print the text that would be loaded'
complete -c spad -n "__fish_spad_needs_command" -f -a "doctor" -d 'Prove that the running system is shut to strangers and opens to a knock; say what to mend'
complete -c spad -n "__fish_spad_needs_command" -f -a "guard" -d 'Load the guard as it stood last, for the time before spad runs: at boot, before there is a network'
complete -c spad -n "__fish_spad_needs_command" -f -a "apply" -d 'Try the changed spad.toml, and go back to what was in force unless that is confirmed in time'
complete -c spad -n "__fish_spad_needs_command" -f -a "confirm" -d 'Keep the configuration that `spad apply` tries'
complete -c spad -n "__fish_spad_needs_command" -f -a "status" -d 'Say how the running spad is: uptime, interfaces, counters, and what is not as it should be'
complete -c spad -n "__fish_spad_needs_command" -f -a "grants" -d 'Say who holds which door open, until when, and what goes through it'
complete -c spad -n "__fish_spad_needs_command" -f -a "revoke" -d 'Close doors at once, and say which'
complete -c spad -n "__fish_spad_needs_command" -f -a "watch" -d 'Show what happens while it happens: events and why, open doors, rates'
complete -c spad -n "__fish_spad_needs_command" -f -a "audit" -d 'Keep what happens, with all that is known of it, where it can be looked up later'
complete -c spad -n "__fish_spad_needs_command" -f -a "metrics" -d 'Say what `status` says in the text format of Prometheus: once, into a file, or to whoever asks by HTTP'
complete -c spad -n "__fish_spad_needs_command" -f -a "runner" -d 'Run what spad.toml names when a door opens, shuts, or somebody asks for it'
complete -c spad -n "__fish_spad_needs_command" -f -a "clock" -d 'Tell a daemon that may not ask the kernel whether its clock is synchronised, for as long as this runs'
complete -c spad -n "__fish_spad_needs_command" -f -a "reload" -d 'Read the files anew, and say whether they are in force'
complete -c spad -n "__fish_spad_needs_command" -f -a "explain" -d 'Say what would become of each datagram of a capture file, and why; changes nothing'
complete -c spad -n "__fish_spad_needs_command" -f -a "teardown" -d 'Remove all of spad\'s from the firewall: the guard, what it attached, and every open door'
complete -c spad -n "__fish_spad_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c spad -n "__fish_spad_using_subcommand check" -l config -d 'The configuration; site.toml and profiles/ stand beside it' -r -F
complete -c spad -n "__fish_spad_using_subcommand check" -l state-dir -d 'Folder of the replay journal, and of what `spad guard` loads' -r -F
complete -c spad -n "__fish_spad_using_subcommand check" -s v -l verbose -d 'Say more in the log'
complete -c spad -n "__fish_spad_using_subcommand check" -s q -l quiet -d 'Only warnings and errors in the log'
complete -c spad -n "__fish_spad_using_subcommand check" -s h -l help -d 'Print help'
complete -c spad -n "__fish_spad_using_subcommand doctor" -l config -d 'The configuration; site.toml and profiles/ stand beside it' -r -F
complete -c spad -n "__fish_spad_using_subcommand doctor" -l state-dir -d 'Folder of the replay journal, and of what `spad guard` loads' -r -F
complete -c spad -n "__fish_spad_using_subcommand doctor" -l json -d 'Print the findings as JSON'
complete -c spad -n "__fish_spad_using_subcommand doctor" -l self-test -d 'Also play a scan, a knock, a scan, a wait and a scan, in network namespaces apart from the host\'s'
complete -c spad -n "__fish_spad_using_subcommand doctor" -s v -l verbose -d 'Say more in the log'
complete -c spad -n "__fish_spad_using_subcommand doctor" -s q -l quiet -d 'Only warnings and errors in the log'
complete -c spad -n "__fish_spad_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c spad -n "__fish_spad_using_subcommand guard" -l config -d 'The configuration; site.toml and profiles/ stand beside it' -r -F
complete -c spad -n "__fish_spad_using_subcommand guard" -l state-dir -d 'Folder of the replay journal, and of what `spad guard` loads' -r -F
complete -c spad -n "__fish_spad_using_subcommand guard" -s v -l verbose -d 'Say more in the log'
complete -c spad -n "__fish_spad_using_subcommand guard" -s q -l quiet -d 'Only warnings and errors in the log'
complete -c spad -n "__fish_spad_using_subcommand guard" -s h -l help -d 'Print help'
complete -c spad -n "__fish_spad_using_subcommand apply" -l confirm -d 'How long to wait for Enter or `spad confirm`, 1s to 1h' -r
complete -c spad -n "__fish_spad_using_subcommand apply" -l config -d 'The configuration; site.toml and profiles/ stand beside it' -r -F
complete -c spad -n "__fish_spad_using_subcommand apply" -l state-dir -d 'Folder of the replay journal, and of what `spad guard` loads' -r -F
complete -c spad -n "__fish_spad_using_subcommand apply" -s v -l verbose -d 'Say more in the log'
complete -c spad -n "__fish_spad_using_subcommand apply" -s q -l quiet -d 'Only warnings and errors in the log'
complete -c spad -n "__fish_spad_using_subcommand apply" -s h -l help -d 'Print help'
complete -c spad -n "__fish_spad_using_subcommand confirm" -l config -d 'The configuration; site.toml and profiles/ stand beside it' -r -F
complete -c spad -n "__fish_spad_using_subcommand confirm" -l state-dir -d 'Folder of the replay journal, and of what `spad guard` loads' -r -F
complete -c spad -n "__fish_spad_using_subcommand confirm" -s v -l verbose -d 'Say more in the log'
complete -c spad -n "__fish_spad_using_subcommand confirm" -s q -l quiet -d 'Only warnings and errors in the log'
complete -c spad -n "__fish_spad_using_subcommand confirm" -s h -l help -d 'Print help'
complete -c spad -n "__fish_spad_using_subcommand status" -l config -d 'The configuration; site.toml and profiles/ stand beside it' -r -F
complete -c spad -n "__fish_spad_using_subcommand status" -l state-dir -d 'Folder of the replay journal, and of what `spad guard` loads' -r -F
complete -c spad -n "__fish_spad_using_subcommand status" -l json -d 'Print it as JSON'
complete -c spad -n "__fish_spad_using_subcommand status" -s v -l verbose -d 'Say more in the log'
complete -c spad -n "__fish_spad_using_subcommand status" -s q -l quiet -d 'Only warnings and errors in the log'
complete -c spad -n "__fish_spad_using_subcommand status" -s h -l help -d 'Print help'
complete -c spad -n "__fish_spad_using_subcommand grants" -l config -d 'The configuration; site.toml and profiles/ stand beside it' -r -F
complete -c spad -n "__fish_spad_using_subcommand grants" -l state-dir -d 'Folder of the replay journal, and of what `spad guard` loads' -r -F
complete -c spad -n "__fish_spad_using_subcommand grants" -l json -d 'Print them as JSON'
complete -c spad -n "__fish_spad_using_subcommand grants" -s v -l verbose -d 'Say more in the log'
complete -c spad -n "__fish_spad_using_subcommand grants" -s q -l quiet -d 'Only warnings and errors in the log'
complete -c spad -n "__fish_spad_using_subcommand grants" -s h -l help -d 'Print help'
complete -c spad -n "__fish_spad_using_subcommand revoke" -l config -d 'The configuration; site.toml and profiles/ stand beside it' -r -F
complete -c spad -n "__fish_spad_using_subcommand revoke" -l state-dir -d 'Folder of the replay journal, and of what `spad guard` loads' -r -F
complete -c spad -n "__fish_spad_using_subcommand revoke" -l json -d 'Print them as JSON'
complete -c spad -n "__fish_spad_using_subcommand revoke" -s v -l verbose -d 'Say more in the log'
complete -c spad -n "__fish_spad_using_subcommand revoke" -s q -l quiet -d 'Only warnings and errors in the log'
complete -c spad -n "__fish_spad_using_subcommand revoke" -s h -l help -d 'Print help'
complete -c spad -n "__fish_spad_using_subcommand watch" -l config -d 'The configuration; site.toml and profiles/ stand beside it' -r -F
complete -c spad -n "__fish_spad_using_subcommand watch" -l state-dir -d 'Folder of the replay journal, and of what `spad guard` loads' -r -F
complete -c spad -n "__fish_spad_using_subcommand watch" -l json -d 'Print events alone, an object of JSON a line'
complete -c spad -n "__fish_spad_using_subcommand watch" -s v -l verbose -d 'Say more in the log'
complete -c spad -n "__fish_spad_using_subcommand watch" -s q -l quiet -d 'Only warnings and errors in the log'
complete -c spad -n "__fish_spad_using_subcommand watch" -s h -l help -d 'Print help'
complete -c spad -n "__fish_spad_using_subcommand audit" -l file -d 'Append an object of JSON a line to this file; who renames it away gets a new one' -r -F
complete -c spad -n "__fish_spad_using_subcommand audit" -l config -d 'The configuration; site.toml and profiles/ stand beside it' -r -F
complete -c spad -n "__fish_spad_using_subcommand audit" -l state-dir -d 'Folder of the replay journal, and of what `spad guard` loads' -r -F
complete -c spad -n "__fish_spad_using_subcommand audit" -l journald -d 'An entry each in systemd\'s journal, with fields'
complete -c spad -n "__fish_spad_using_subcommand audit" -s v -l verbose -d 'Say more in the log'
complete -c spad -n "__fish_spad_using_subcommand audit" -s q -l quiet -d 'Only warnings and errors in the log'
complete -c spad -n "__fish_spad_using_subcommand audit" -s h -l help -d 'Print help'
complete -c spad -n "__fish_spad_using_subcommand metrics" -l textfile -d 'Write this file anew without end, for node_exporter\'s textfile collector' -r -F
complete -c spad -n "__fish_spad_using_subcommand metrics" -l every -d 'How often to write it, 1s to 1h' -r
complete -c spad -n "__fish_spad_using_subcommand metrics" -l listen -d 'Answer GET /metrics there: unix:PATH, or a loopback address with a port' -r
complete -c spad -n "__fish_spad_using_subcommand metrics" -l config -d 'The configuration; site.toml and profiles/ stand beside it' -r -F
complete -c spad -n "__fish_spad_using_subcommand metrics" -l state-dir -d 'Folder of the replay journal, and of what `spad guard` loads' -r -F
complete -c spad -n "__fish_spad_using_subcommand metrics" -s v -l verbose -d 'Say more in the log'
complete -c spad -n "__fish_spad_using_subcommand metrics" -s q -l quiet -d 'Only warnings and errors in the log'
complete -c spad -n "__fish_spad_using_subcommand metrics" -s h -l help -d 'Print help'
complete -c spad -n "__fish_spad_using_subcommand runner" -l config -d 'The configuration; site.toml and profiles/ stand beside it' -r -F
complete -c spad -n "__fish_spad_using_subcommand runner" -l state-dir -d 'Folder of the replay journal, and of what `spad guard` loads' -r -F
complete -c spad -n "__fish_spad_using_subcommand runner" -s v -l verbose -d 'Say more in the log'
complete -c spad -n "__fish_spad_using_subcommand runner" -s q -l quiet -d 'Only warnings and errors in the log'
complete -c spad -n "__fish_spad_using_subcommand runner" -s h -l help -d 'Print help'
complete -c spad -n "__fish_spad_using_subcommand clock" -l config -d 'The configuration; site.toml and profiles/ stand beside it' -r -F
complete -c spad -n "__fish_spad_using_subcommand clock" -l state-dir -d 'Folder of the replay journal, and of what `spad guard` loads' -r -F
complete -c spad -n "__fish_spad_using_subcommand clock" -s v -l verbose -d 'Say more in the log'
complete -c spad -n "__fish_spad_using_subcommand clock" -s q -l quiet -d 'Only warnings and errors in the log'
complete -c spad -n "__fish_spad_using_subcommand clock" -s h -l help -d 'Print help'
complete -c spad -n "__fish_spad_using_subcommand reload" -l config -d 'The configuration; site.toml and profiles/ stand beside it' -r -F
complete -c spad -n "__fish_spad_using_subcommand reload" -l state-dir -d 'Folder of the replay journal, and of what `spad guard` loads' -r -F
complete -c spad -n "__fish_spad_using_subcommand reload" -l json -d 'Print the outcome as JSON'
complete -c spad -n "__fish_spad_using_subcommand reload" -s v -l verbose -d 'Say more in the log'
complete -c spad -n "__fish_spad_using_subcommand reload" -s q -l quiet -d 'Only warnings and errors in the log'
complete -c spad -n "__fish_spad_using_subcommand reload" -s h -l help -d 'Print help'
complete -c spad -n "__fish_spad_using_subcommand explain" -l at -d 'Judge as if the first packet had come then [default: as the file says]' -r
complete -c spad -n "__fish_spad_using_subcommand explain" -l journal -d 'What was admitted before: a folder with journal.a and journal.b [default: nothing was]' -r -F
complete -c spad -n "__fish_spad_using_subcommand explain" -l config -d 'The configuration; site.toml and profiles/ stand beside it' -r -F
complete -c spad -n "__fish_spad_using_subcommand explain" -l state-dir -d 'Folder of the replay journal, and of what `spad guard` loads' -r -F
complete -c spad -n "__fish_spad_using_subcommand explain" -l json -d 'Print an object of JSON a line'
complete -c spad -n "__fish_spad_using_subcommand explain" -s v -l verbose -d 'Say more in the log'
complete -c spad -n "__fish_spad_using_subcommand explain" -s q -l quiet -d 'Only warnings and errors in the log'
complete -c spad -n "__fish_spad_using_subcommand explain" -s h -l help -d 'Print help'
complete -c spad -n "__fish_spad_using_subcommand teardown" -l config -d 'The configuration; site.toml and profiles/ stand beside it' -r -F
complete -c spad -n "__fish_spad_using_subcommand teardown" -l state-dir -d 'Folder of the replay journal, and of what `spad guard` loads' -r -F
complete -c spad -n "__fish_spad_using_subcommand teardown" -s v -l verbose -d 'Say more in the log'
complete -c spad -n "__fish_spad_using_subcommand teardown" -s q -l quiet -d 'Only warnings and errors in the log'
complete -c spad -n "__fish_spad_using_subcommand teardown" -s h -l help -d 'Print help'
complete -c spad -n "__fish_spad_using_subcommand help; and not __fish_seen_subcommand_from check doctor guard apply confirm status grants revoke watch audit metrics runner clock reload explain teardown help" -f -a "check" -d 'Say what is wrong with the files and the host, and print the text that would be loaded'
complete -c spad -n "__fish_spad_using_subcommand help; and not __fish_seen_subcommand_from check doctor guard apply confirm status grants revoke watch audit metrics runner clock reload explain teardown help" -f -a "doctor" -d 'Prove that the running system is shut to strangers and opens to a knock; say what to mend'
complete -c spad -n "__fish_spad_using_subcommand help; and not __fish_seen_subcommand_from check doctor guard apply confirm status grants revoke watch audit metrics runner clock reload explain teardown help" -f -a "guard" -d 'Load the guard as it stood last, for the time before spad runs: at boot, before there is a network'
complete -c spad -n "__fish_spad_using_subcommand help; and not __fish_seen_subcommand_from check doctor guard apply confirm status grants revoke watch audit metrics runner clock reload explain teardown help" -f -a "apply" -d 'Try the changed spad.toml, and go back to what was in force unless that is confirmed in time'
complete -c spad -n "__fish_spad_using_subcommand help; and not __fish_seen_subcommand_from check doctor guard apply confirm status grants revoke watch audit metrics runner clock reload explain teardown help" -f -a "confirm" -d 'Keep the configuration that `spad apply` tries'
complete -c spad -n "__fish_spad_using_subcommand help; and not __fish_seen_subcommand_from check doctor guard apply confirm status grants revoke watch audit metrics runner clock reload explain teardown help" -f -a "status" -d 'Say how the running spad is: uptime, interfaces, counters, and what is not as it should be'
complete -c spad -n "__fish_spad_using_subcommand help; and not __fish_seen_subcommand_from check doctor guard apply confirm status grants revoke watch audit metrics runner clock reload explain teardown help" -f -a "grants" -d 'Say who holds which door open, until when, and what goes through it'
complete -c spad -n "__fish_spad_using_subcommand help; and not __fish_seen_subcommand_from check doctor guard apply confirm status grants revoke watch audit metrics runner clock reload explain teardown help" -f -a "revoke" -d 'Close doors at once, and say which'
complete -c spad -n "__fish_spad_using_subcommand help; and not __fish_seen_subcommand_from check doctor guard apply confirm status grants revoke watch audit metrics runner clock reload explain teardown help" -f -a "watch" -d 'Show what happens while it happens: events and why, open doors, rates'
complete -c spad -n "__fish_spad_using_subcommand help; and not __fish_seen_subcommand_from check doctor guard apply confirm status grants revoke watch audit metrics runner clock reload explain teardown help" -f -a "audit" -d 'Keep what happens, with all that is known of it, where it can be looked up later'
complete -c spad -n "__fish_spad_using_subcommand help; and not __fish_seen_subcommand_from check doctor guard apply confirm status grants revoke watch audit metrics runner clock reload explain teardown help" -f -a "metrics" -d 'Say what `status` says in the text format of Prometheus: once, into a file, or to whoever asks by HTTP'
complete -c spad -n "__fish_spad_using_subcommand help; and not __fish_seen_subcommand_from check doctor guard apply confirm status grants revoke watch audit metrics runner clock reload explain teardown help" -f -a "runner" -d 'Run what spad.toml names when a door opens, shuts, or somebody asks for it'
complete -c spad -n "__fish_spad_using_subcommand help; and not __fish_seen_subcommand_from check doctor guard apply confirm status grants revoke watch audit metrics runner clock reload explain teardown help" -f -a "clock" -d 'Tell a daemon that may not ask the kernel whether its clock is synchronised, for as long as this runs'
complete -c spad -n "__fish_spad_using_subcommand help; and not __fish_seen_subcommand_from check doctor guard apply confirm status grants revoke watch audit metrics runner clock reload explain teardown help" -f -a "reload" -d 'Read the files anew, and say whether they are in force'
complete -c spad -n "__fish_spad_using_subcommand help; and not __fish_seen_subcommand_from check doctor guard apply confirm status grants revoke watch audit metrics runner clock reload explain teardown help" -f -a "explain" -d 'Say what would become of each datagram of a capture file, and why; changes nothing'
complete -c spad -n "__fish_spad_using_subcommand help; and not __fish_seen_subcommand_from check doctor guard apply confirm status grants revoke watch audit metrics runner clock reload explain teardown help" -f -a "teardown" -d 'Remove all of spad\'s from the firewall: the guard, what it attached, and every open door'
complete -c spad -n "__fish_spad_using_subcommand help; and not __fish_seen_subcommand_from check doctor guard apply confirm status grants revoke watch audit metrics runner clock reload explain teardown help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
