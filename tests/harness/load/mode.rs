//! How clients hold their connections.

use std::fmt;

use crate::template::Codec;

/// How a client holds its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    KeptHttp1,
    NewHttp1,
    KeptHttp2,
    NewHttp2,
    KeptGrpc,
    NewGrpc,
}

impl Mode {
    pub(super) const ALL: [Self; 6] =
        [Self::KeptHttp1, Self::NewHttp1, Self::KeptHttp2, Self::NewHttp2, Self::KeptGrpc, Self::NewGrpc];

    pub(super) fn is_http2(self) -> bool {
        !matches!(self, Self::KeptHttp1 | Self::NewHttp1)
    }

    pub(super) fn codec(self) -> Codec {
        if matches!(self, Self::KeptGrpc | Self::NewGrpc) { Codec::Grpc } else { Codec::Json }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::KeptHttp1 => "HTTP/1.1, kept",
            Self::NewHttp1 => "HTTP/1.1, new",
            Self::KeptHttp2 => "HTTP/2, kept",
            Self::NewHttp2 => "HTTP/2, new",
            Self::KeptGrpc => "gRPC, kept",
            Self::NewGrpc => "gRPC, new",
        })
    }
}
