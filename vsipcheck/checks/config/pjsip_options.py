"""Which options the objects of res_pjsip have: sorcery creates no object that holds one it does not know."""

from __future__ import annotations

# As they were registered by some Asterisk from 13 to 23: res/res_pjsip/pjsip_configuration.c, location.c,
# config_transport.c, and res_pjsip_endpoint_identifier_ip.c.
_ENDPOINT = """
    100rel accept_multiple_sdp_answers accountcode acl aggregate_mwi allow allow_overlap allow_subscribe allow_transfer
    allow_unauthenticated_options aors asymmetric_rtp_codec auth bind_rtp_to_media_address bundle call_group callerid
    callerid_privacy callerid_tag codec_prefs_incoming_answer codec_prefs_incoming_offer codec_prefs_outgoing_answer
    codec_prefs_outgoing_offer connected_line_method contact_acl contact_deny contact_permit contact_user context
    cos_audio cos_text cos_video deny device_state_busy_at direct_media direct_media_glare_mitigation
    direct_media_method disable_direct_media_on_nat disallow dtls_auto_generate_cert dtls_ca_file dtls_ca_path
    dtls_cert_file dtls_cipher dtls_fingerprint dtls_private_key dtls_rekey dtls_setup dtls_verify dtmf_mode fax_detect
    fax_detect_timeout follow_early_media_fork force_avp force_rport from_domain from_user g726_non_standard
    geoloc_incoming_call_profile geoloc_outgoing_call_profile ice_support identify_by ignore_183_without_sdp
    allow_180_ringing_with_sdp inband_progress incoming_call_offer_pref incoming_mwi_mailbox language mailboxes
    max_audio_streams max_text_streams max_video_streams media_address media_encryption media_encryption_optimistic
    media_use_received_transport message_context moh_passthrough moh_suggest mwi_from_user
    mwi_subscribe_replaces_unsolicited named_call_group named_pickup_group notify_early_inuse_ringing
    one_touch_recording outbound_auth outbound_proxy outgoing_call_offer_pref overlap_context permit pickup_group
    preferred_codec_only record_off_feature record_on_feature redirect_method refer_blind_progress rewrite_contact
    rpid_immediate rtcp_mux rtp_engine rtp_ipv6 rtp_keepalive rtp_port_end rtp_port_start rtp_symmetric rtp_timeout
    rtp_timeout_hold sdp_owner sdp_session security_mechanisms security_negotiation send_aoc send_connected_line
    send_diversion send_history_info send_pai send_rpid set_var srtp_tag_32 stir_shaken stir_shaken_profile
    sub_min_expiry subscribe_context suppress_moh_on_sendonly suppress_q850_reason_headers
    t38_bind_udptl_to_media_address t38_udptl t38_udptl_ec t38_udptl_ipv6 t38_udptl_maxdatagram t38_udptl_nat tenantid
    timers timers_min_se timers_refresher timers_sess_expires tone_zone tos_audio tos_text tos_video transport
    trust_connected_line trust_id_inbound trust_id_outbound type use_avpf use_ptime user_eq_phone voicemail_extension
    webrtc
"""
_AOR = """
    authenticate_qualify contact default_expiration mailboxes max_contacts maximum_expiration minimum_expiration
    outbound_proxy qualify_2xx_only qualify_frequency qualify_timeout remove_existing remove_unavailable support_path
    type voicemail_extension
"""
_IDENTIFY = "endpoint match match_header match_request_uri srv_lookups transport type"
_TRANSPORT = """
    allow_reload allow_wildcard_certs async_operations bind ca_list_file ca_list_path cert_file cipher cos domain
    external_media_address external_signaling_address external_signaling_hostname external_signaling_port local_net
    method password priv_key_file protocol require_client_cert symmetric_transport
    tcp_keepalive_enable tcp_keepalive_idle_time tcp_keepalive_interval_time tcp_keepalive_probe_count tos type
    verify_client verify_server websocket_write_timeout
"""
_OPTIONS = {
    "endpoint": frozenset(_ENDPOINT.split()),
    "aor": frozenset(_AOR.split()),
    "identify": frozenset(_IDENTIFY.split()),
    "transport": frozenset(_TRANSPORT.split()),
}
# chan_sip's options, with the one of res_pjsip that does the same.
_CHAN_SIP = {
    "canreinvite": "direct_media",
    "defaultuser": None,
    "directmedia": "direct_media",
    "dtmfmode": "dtmf_mode",
    "externaddr": "external_signaling_address and external_media_address",
    "externhost": "external_signaling_address and external_media_address",
    "externip": "external_signaling_address and external_media_address",
    "fromdomain": "from_domain",
    "fromuser": "from_user",
    "host": "the contact of an aor",
    "insecure": "an identify",
    "localnet": "local_net",
    "nat": "force_rport and rtp_symmetric",
    "port": "the contact of an aor",
    "qualify": "the qualify_frequency of an aor",
    "secret": None,
    "sendrpid": "send_pai",
    "trustrpid": "trust_id_inbound",
}
# What belongs elsewhere for certain, and is written into these by mistake: by its object, or by chan_sip.
_ELSEWHERE = {
    **dict.fromkeys(("auth_type", "username", "userpass", "md5_cred", "realm"), "auth"),
    **dict.fromkeys(("server_uri", "client_uri", "retry_interval", "forbidden_retry_interval"), "registration"),
    **dict.fromkeys(("endpoint_identifier_order", "user_agent", "debug", "default_from_user"), "global"),
    **dict.fromkeys(_CHAN_SIP, "chan_sip"),
}


def knows(kind: str, option: str) -> bool:
    """Whether objects of that type have the option, as far as we know. A name that begins with "@" is anybody's own."""
    return option.startswith("@") or option.lower() in _OPTIONS[kind]


def owner_of(option: str) -> str | None:
    """Whose the option is, of which no other type has one: the type's name, or "chan_sip". None where nobody's."""
    name = option.lower()
    if name in _ELSEWHERE:
        return _ELSEWHERE[name]
    return next((kind for kind, options in _OPTIONS.items() if name in options), None)


def successor_of(option: str) -> str | None:
    """What res_pjsip has for an option of chan_sip's, None where there is no one thing."""
    return _CHAN_SIP.get(option.lower())
