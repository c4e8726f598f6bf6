complete -c spa-keygen -l server -d 'Name or address of this server, as its clients reach it' -r
complete -c spa-keygen -l open -d 'What the profile may open, like tcp/22 or tcp/22,udp/51820' -r
complete -c spa-keygen -l port -d 'UDP port of the site, when it is made [default: a random one that is free]' -r
complete -c spa-keygen -l config-dir -d 'Folder of site.toml and profiles' -r -F
complete -c spa-keygen -l state-dir -d 'Folder of the replay journal' -r -F
complete -c spa-keygen -l out -d 'File of the client\'s half, or a folder for it [default: ./NAME.spa.toml]' -r -F
complete -c spa-keygen -l suite -d 'How datagrams are sealed: aes256gcm or xchacha20poly1305' -r
complete -c spa-keygen -l window -d 'How long a door stays open unless the client wishes otherwise' -r
complete -c spa-keygen -l max-window -d 'The longest that a client may wish for' -r
complete -c spa-keygen -l expires -d 'Opens nothing from then on: 2027-01-01, or 2027-01-01T12:00:00Z' -r
complete -c spa-keygen -l freshness -d 'How old is told from new [default: clock, or monotonic on a machine without a real-time clock]' -r -f -a "clock\t'By the server\'s clock'
monotonic\t'By the order of the client\'s own times'"
complete -c spa-keygen -l receipt -d 'The server tells the client what became of each knock, if spad.toml allows receipts'
complete -c spa-keygen -s h -l help -d 'Print help'
complete -c spa-keygen -s V -l version -d 'Print version'
