"""NSL-KDD: 41 features of a connection, five classes (Tavallaee et al. 2009, section 4).

The classes of disputed attack names: worm is dos, httptunnel is r2l; ps, sqlattack and xterm are u2r.
"""

from __future__ import annotations

from juggler.data.records import Column, Schema


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_PROTOCOLS = ("icmp", "tcp", "udp")
_FLAGS = ("OTH", "REJ", "RSTO", "RSTOS0", "RSTR", "S0", "S1", "S2", "S3", "SF", "SH")
_SERVICES = _words(
    """
    IRC X11 Z39_50 aol auth bgp courier csnet_ns ctf daytime discard domain domain_u echo eco_i ecr_i efs
    exec finger ftp ftp_data gopher harvest hostnames http http_2784 http_443 http_8001 imap4 iso_tsap
    klogin kshell ldap link login mtp name netbios_dgm netbios_ns netbios_ssn netstat nnsp nntp ntp_u
    other pm_dump pop_2 pop_3 printer private red_i remote_job rje shell smtp sql_net ssh sunrpc supdup
    systat telnet tftp_u tim_i time urh_i urp_i uucp uucp_path vmnet whois
    """
)
_BASIC = _words("duration protocol_type service flag src_bytes dst_bytes land wrong_fragment urgent")
# Read from the payload: live traffic cannot supply them, and they do not help.
_CONTENT = _words(
    """
    hot num_failed_logins logged_in num_compromised root_shell su_attempted num_root num_file_creations
    num_shells num_access_files num_outbound_cmds is_host_login is_guest_login
    """
)
_TRAFFIC = _words(
    """
    count srv_count serror_rate srv_serror_rate rerror_rate srv_rerror_rate same_srv_rate diff_srv_rate
    srv_diff_host_rate dst_host_count dst_host_srv_count dst_host_same_srv_rate dst_host_diff_srv_rate
    dst_host_same_src_port_rate dst_host_srv_diff_host_rate dst_host_serror_rate dst_host_srv_serror_rate
    dst_host_rerror_rate dst_host_srv_rerror_rate
    """
)
_VOCABULARIES = {"protocol_type": _PROTOCOLS, "service": _SERVICES, "flag": _FLAGS}

_SEEN = {
    "dos": "back land neptune pod smurf teardrop",
    "probe": "ipsweep nmap portsweep satan",
    "r2l": "ftp_write guess_passwd imap multihop phf spy warezclient warezmaster",
    "u2r": "buffer_overflow loadmodule perl rootkit",
}
_UNSEEN = {
    "dos": "apache2 mailbomb processtable udpstorm worm",
    "probe": "mscan saint",
    "r2l": "httptunnel named sendmail snmpgetattack snmpguess xlock xsnoop",
    "u2r": "ps sqlattack xterm",
}


def _column(name: str) -> Column:
    if name in _VOCABULARIES:
        return Column(name, "categorical", _VOCABULARIES[name])
    return Column(name, "numeric", rate=name.endswith("_rate"))


def _classes(*tables: dict[str, str]) -> dict[str, str]:
    return {attack: name for table in tables for name, attacks in table.items() for attack in _words(attacks)}


SCHEMA = Schema(
    name="nsl_kdd",
    version=1,
    columns=tuple(_column(name) for name in [*_BASIC, *_CONTENT, *_TRAFFIC]),
    header_features=(*_BASIC, *_TRAFFIC),
    classes=("normal", "dos", "probe", "r2l", "u2r"),
    attack_classes={"normal": "normal", **_classes(_SEEN, _UNSEEN)},
    unseen=tuple(sorted(_classes(_UNSEEN))),
)

# Whole attack types, one of each class in each fold: what is chosen on these holds for types never met.
FOLDS = (
    ("back", "satan", "guess_passwd", "rootkit"),
    ("smurf", "portsweep", "warezmaster", "loadmodule"),
    ("teardrop", "nmap", "warezclient", "buffer_overflow"),
)
