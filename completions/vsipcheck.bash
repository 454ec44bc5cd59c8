# bash completion for vsipcheck. Generated: vsipcheck completion bash

_vsipcheck() {
    local current=${COMP_WORDS[COMP_CWORD]} previous="" path="" next="" words="" files="" index
    ((COMP_CWORD > 0)) && previous=${COMP_WORDS[COMP_CWORD - 1]}
    # bash splits --option=value at the equals sign.
    if [[ $current == '=' ]]; then
        current=""
    elif [[ $previous == '=' ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((index = 1; index < COMP_CWORD; index++)); do
        case ${COMP_WORDS[index]} in
            --account-sid | --call-time | --caller | --confirm | --connections | --deadline | --every | --exophone | --expect-ip | --format | --fqdn | --invite | --keep | --lifetime-max | --listen | --media | --min-interval | --number | --on-change | --options | --output | --pbx | --pbx-config | --ping | --ping-fail | --port | --ports | --primary | --profile | --public-ip | --rate | --report | --resolver | --ring | --seed | --since | --source | --splay | --state | --ticket | --timeout | --trace | -o)
                [[ ${COMP_WORDS[index + 1]} == "=" ]] && ((index++))
                ((index++))
                continue
                ;;
        esac
        next="$path ${COMP_WORDS[index]}"
        case ${next# } in
            'all' | 'dns' | 'sip' | 'media' | 'nat' | 'path' | 'pbx' | 'exporter' | 'demo' | 'show' | 'diff' | 'history' | 'timer' | 'explain' | 'schema' | 'completion' | 'config' | 'config lint' | 'config sample' | 'message' | 'message lint' | 'profile' | 'profile list' | 'profile show' | 'profile check')
                path=${next# }
                ;;
        esac
    done
    case $previous in
        --profile)
            words='exotel-tcp-mumbai'
            files=1
            ;;
        --fqdn | --primary)
            words='pstn.in2.exotel.com pstn.in4.exotel.com'
            ;;
        --account-sid | --call-time | --caller | --confirm | --connections | --deadline | --every | --exophone | --expect-ip | --invite | --keep | --lifetime-max | --listen | --media | --min-interval | --number | --on-change | --options | --pbx | --ping | --ping-fail | --port | --ports | --public-ip | --rate | --resolver | --ring | --seed | --since | --source | --splay | --timeout)
            :
            ;;
        --output | --pbx-config | --report | --state | --ticket | --trace | -o)
            files=1
            ;;
        --format)
            words='terminal json nagios prometheus junit markdown html'
            ;;
        *)
            if [[ $current == -* ]]; then
                case $path in
                    '') words='--version --help -h' ;;
                    'all') words='--profile --fqdn --port --media --primary --account-sid --expect-ip --options --connections --ports --seed --sweep --rate --pbx --invite --caller --rtp --ring --pbx-config --trace --exophone -4 -6 --source --resolver --timeout --deadline --strict --allow-unknown --format --json --output -o --quiet -q --verbose -v --redact --redact-public --record --state --keep --cron --splay --confirm --on-change --ping --ping-fail --ticket --call-time --number --help -h' ;;
                    'dns') words='--profile --fqdn -4 -6 --source --resolver --timeout --deadline --strict --allow-unknown --format --json --output -o --quiet -q --verbose -v --redact --redact-public --record --state --keep --cron --splay --confirm --on-change --ping --ping-fail --help -h' ;;
                    'sip') words='--profile --fqdn --port --primary --account-sid --options --connections --size -4 -6 --source --resolver --timeout --deadline --strict --allow-unknown --format --json --output -o --quiet -q --verbose -v --redact --redact-public --record --state --keep --cron --splay --confirm --on-change --ping --ping-fail --ticket --call-time --number --help -h' ;;
                    'media') words='--profile --media --ports --seed --sweep --rate -4 -6 --source --resolver --timeout --deadline --strict --allow-unknown --format --json --output -o --quiet -q --verbose -v --redact --redact-public --record --state --keep --cron --splay --confirm --on-change --ping --ping-fail --help -h' ;;
                    'nat') words='--profile --fqdn --port --media --expect-ip --pcp-map --lifetime --lifetime-max -4 -6 --source --resolver --timeout --deadline --strict --allow-unknown --format --json --output -o --quiet -q --verbose -v --redact --redact-public --record --state --keep --cron --splay --confirm --on-change --ping --ping-fail --help -h' ;;
                    'path') words='--profile --fqdn --port --media -4 -6 --source --resolver --timeout --deadline --strict --allow-unknown --format --json --output -o --quiet -q --verbose -v --redact --redact-public --record --state --keep --cron --splay --confirm --on-change --ping --ping-fail --help -h' ;;
                    'pbx') words='--invite --caller --rtp --ring --profile --report --expect-ip -4 -6 --source --resolver --timeout --deadline --strict --allow-unknown --format --json --output -o --quiet -q --verbose -v --redact --redact-public --record --state --keep --cron --splay --confirm --on-change --ping --ping-fail --ticket --call-time --number --help -h' ;;
                    'exporter') words='--listen --min-interval --profile --fqdn --port --media --primary --account-sid --expect-ip --options --connections --ports --seed -4 -6 --source --resolver --timeout --deadline --strict --allow-unknown --help -h' ;;
                    'demo') words='--list --account-sid --timeout --deadline --strict --allow-unknown --format --json --output -o --quiet -q --verbose -v --redact --redact-public --record --state --keep --cron --splay --confirm --on-change --ping --ping-fail --ticket --call-time --number --help -h' ;;
                    'show') words='--rejudge --format --json --output -o --quiet -q --verbose -v --redact --redact-public --account-sid --ticket --call-time --number --help -h' ;;
                    'diff') words='--json --help -h' ;;
                    'history') words='--state --demo --json --csv --since --help -h' ;;
                    'timer') words='--every --splay --help -h' ;;
                    'explain') words='--help -h' ;;
                    'schema') words='--help -h' ;;
                    'completion') words='--help -h' ;;
                    'config') words='--help -h' ;;
                    'config lint') words='--profile --account-sid --report --expect-ip --strict --allow-unknown --format --json --output -o --quiet -q --verbose -v --redact --redact-public --help -h' ;;
                    'config sample') words='--profile --account-sid --public-ip --report --help -h' ;;
                    'message') words='--help -h' ;;
                    'message lint') words='--exophone --profile --account-sid --report --expect-ip --strict --allow-unknown --format --json --output -o --quiet -q --verbose -v --redact --redact-public --help -h' ;;
                    'profile') words='--help -h' ;;
                    'profile list') words='--help -h' ;;
                    'profile show') words='--help -h' ;;
                    'profile check') words='--help -h' ;;
                esac
            else
                case $path in
                    '')
                        words='all dns sip media nat path pbx exporter demo show diff history timer explain schema completion config message profile'
                        ;;
                    'exporter')
                        words='rules dashboard'
                        ;;
                    'demo')
                        words='healthy not-whitelisted forbidden sip-silent tcp-refused one-pop-down service-unavailable slow hostile-peer not-sip sip-alg sip-alg-repaired dns-nxdomain dns-hijack dns-dead-resolver dns-servfail dns-one-lies dns-intercepted cgnat cgnat-on-interface double-nat double-nat-told cgnat-told access-router port-masking port-remap several-uplinks media-prohibited media-partial media-blocked-isp media-some-addresses media-host-firewall no-icmp captive-portal offline'
                        ;;
                    'show')
                        files=1
                        ;;
                    'diff')
                        files=1
                        ;;
                    'timer')
                        words='cron systemd'
                        ;;
                    'explain')
                        words='call.caller_id call.transport config.call_rate config.caller_id config.channel_driver config.codec_order config.context config.domain config.dtmf config.external_address config.files config.identification config.listener config.logging config.media_path config.nat config.peer config.registration config.rtp_range dns.authority dns.records dns.resolution dns.resolver media.egress media.return message.answer message.framing message.header message.sdp nat.behaviour nat.cgnat nat.lifetime nat.port_masking nat.public_address nat.static_address path.reach pbx.call pbx.codecs pbx.contact pbx.dialog pbx.dtmf pbx.media_address pbx.options pbx.rtp pbx.transport sip.alg sip.connect sip.in_dialog sip.options sip.redundancy sip.size'
                        ;;
                    'completion')
                        words='bash zsh fish'
                        ;;
                    'config')
                        words='lint sample'
                        ;;
                    'config lint')
                        files=1
                        ;;
                    'config sample')
                        words='asterisk-pjsip asterisk-chan-sip freeswitch'
                        ;;
                    'message')
                        words='lint'
                        ;;
                    'message lint')
                        files=1
                        ;;
                    'profile')
                        words='list show check'
                        ;;
                    'profile show')
                        words='exotel-tcp-mumbai'
                        files=1
                        ;;
                    'profile check')
                        words='exotel-tcp-mumbai'
                        files=1
                        ;;
                esac
            fi
            ;;
    esac
    COMPREPLY=()
    while IFS= read -r index; do
        COMPREPLY+=("$index")
    done < <(compgen -W "$words" -- "$current"; [[ -n $files ]] && compgen -f -- "$current")
    [[ -n $files ]] && compopt -o filenames 2>/dev/null
    return 0
}
complete -F _vsipcheck vsipcheck
