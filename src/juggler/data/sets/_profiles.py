"""What the connections of the synthetic set look like: one row a kind, plausible ranges, nothing measured."""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class Traffic:
    """Shares among the connections around one: to the same service, half open, refused, over the history."""

    same_srv: Range = (0.85, 1.0)
    serror: Range = (0.0, 0.02)
    rerror: Range = (0.0, 0.02)
    host_same_srv: Range = (0.4, 1.0)


@dataclass(frozen=True)
class Profile:
    """One kind of connection.

    Attributes:
        attack: attack name.
        train_rows: rows in the training part.
        test_rows: rows in the test part.
        protocol: transport protocol.
        services: service names to draw from.
        flags: connection states to draw from.
        src_bytes: range of bytes sent, drawn in log scale.
        dst_bytes: range of bytes received, drawn in log scale.
        duration_s: range of seconds, drawn in log scale.
        count: range of connections to the same host within two seconds.
        traffic: name in `TRAFFIC`.
        host_count: range of connections to the same host in the history.
        logged_in: share of connections with a login.
        failed_logins: most failed logins in a connection.
    """

    attack: str
    train_rows: int
    test_rows: int
    protocol: str
    services: str
    flags: str
    src_bytes: Range = (0, 0)
    dst_bytes: Range = (0, 0)
    duration_s: Range = (0, 0)
    count: Range = (1, 12)
    traffic: str = "served"
    host_count: Range = (5, 255)
    logged_in: float = 0.0
    failed_logins: int = 0


TRAFFIC = {
    "served": Traffic(),
    "scattered": Traffic(host_same_srv=(0.0, 0.3)),
    "refused": Traffic(same_srv=(0.0, 0.3), rerror=(0.6, 1.0), host_same_srv=(0.0, 0.2)),
    "half_open": Traffic(same_srv=(0.02, 0.2), serror=(0.9, 1.0), host_same_srv=(0.0, 0.1)),
    "shy": Traffic(rerror=(0.2, 1.0)),
    "overloaded": Traffic(serror=(0.0, 0.7)),
}
_FAR = (300.0, 900.0)
PROFILES = (
    Profile("normal", 1900, 800, "tcp", "http", "SF", (100, 600), (200, 40_000), logged_in=1),
    Profile("normal", 500, 200, "tcp", "smtp", "SF", (300, 4000), (250, 500), (0, 6), logged_in=1),
    Profile("normal", 350, 150, "tcp", "ftp ftp_data", "SF", (30, 9000), (0, 900), (0, 30), logged_in=1),
    Profile("normal", 150, 60, "tcp", "telnet ssh", "SF RSTO", (90, 3000), (200, 9000), _FAR, logged_in=0.9),
    Profile("normal", 500, 200, "udp", "domain_u ntp_u other", "SF", (30, 150), (30, 300), count=(1, 180)),
    Profile("normal", 100, 50, "icmp", "eco_i ecr_i urp_i", "SF", (8, 60), count=(1, 4)),
    Profile("normal", 100, 60, "tcp", "http auth", "REJ RSTR S1", (0, 300), count=(1, 5), traffic="shy"),
    Profile("neptune", 900, 200, "tcp", "private telnet http", "S0", count=(90, 300), traffic="half_open"),
    Profile("smurf", 150, 60, "icmp", "ecr_i", "SF", (500, 1100), count=(200, 511)),
    Profile("back", 90, 40, "tcp", "http", "SF RSTR", (50_000, 55_000), (7000, 9000), logged_in=1),
    Profile("teardrop", 80, 20, "udp", "private", "SF", (28, 28), count=(10, 150), traffic="scattered"),
    Profile("satan", 260, 90, "tcp", "other private finger", "REJ RSTO", count=(2, 250), traffic="refused"),
    Profile("portsweep", 220, 60, "tcp", "private other", "REJ RSTR", (0, 0), (0, 0), (0, 200), (1, 4),
            "refused"),
    Profile("ipsweep", 230, 60, "icmp", "eco_i", "SF", (8, 8), count=(1, 2), host_count=(1, 40)),
    Profile("nmap", 120, 30, "tcp", "private", "SH", count=(1, 3), traffic="half_open"),
    Profile("guess_passwd", 60, 120, "tcp", "telnet pop_3", "SF RSTO", (100, 140), (150, 200),
            failed_logins=4),
    Profile("warezmaster", 40, 60, "tcp", "ftp ftp_data", "SF", (2e5, 9e5), (0, 300), (15, 60), logged_in=1),
    Profile("warezclient", 90, 0, "tcp", "ftp_data", "SF", (300, 3000), traffic="scattered", logged_in=1),
    Profile("buffer_overflow", 30, 20, "tcp", "telnet", "SF", (1200, 2500), (2000, 9000), (80, 350),
            logged_in=1),
    Profile("rootkit", 12, 10, "tcp", "telnet ftp", "SF", (200, 2000), (1500, 5000), (30, 900), logged_in=1),
    Profile("loadmodule", 10, 5, "tcp", "telnet", "SF", (250, 700), (3000, 9000), (50, 200), logged_in=1),
    Profile("apache2", 0, 120, "tcp", "http", "SF S3 RSTR", (2e4, 7e4), (2e3, 9e4), _FAR, (5, 90),
            "overloaded"),
    Profile("processtable", 0, 80, "tcp", "finger telnet", "S0 SF S3", (0, 10), (0, 0), _FAR,
            traffic="overloaded"),
    Profile("mscan", 0, 120, "tcp", "imap4 sunrpc telnet", "REJ S0 RSTO", count=(1, 40), traffic="refused"),
    Profile("saint", 0, 60, "tcp", "other private smtp", "REJ SF", (0, 30), count=(2, 300),
            traffic="refused"),
    Profile("snmpguess", 0, 120, "udp", "private other", "SF", (40, 50), count=(100, 511)),
    Profile("httptunnel", 0, 90, "tcp", "http", "SF", (200, 900), (20, 400), _FAR, traffic="scattered"),
    Profile("xterm", 0, 15, "tcp", "X11 telnet", "SF", (2000, 9000), (5000, 40_000), (100, 900), logged_in=1),
)  # fmt: skip
