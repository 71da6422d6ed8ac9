//! What is measured: who is asked for what, over which protocol.

use http::Method;
use scalegate_tests::suite::replicas;
use scalegate_tests::template::{Codec, Template};

use crate::cluster::{NAME, NAMESPACE, PAGE};

/// A server that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    /// nginx, with a static file of the size of the gateway's answer.
    Nginx,
    /// The gateway as it is installed.
    Gateway,
    /// A gateway that keeps no answers (`policies.answerCacheBytes: 0`).
    Forgetful,
    /// kube-apiserver.
    ApiServer,
    /// OPA as a server, with the gateway's policy.
    Opa,
}

/// What is measured, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Case {
    NginxHttp1,
    NginxHttp2,
    ReadHttp1,
    ReadHttp2,
    ReadGrpc,
    Decided,
    ApiServer,
    Opa,
    NginxHandshake,
    ReadHandshake,
    PageKept,
    PageDecided,
}

/// How connections are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connections {
    /// One of HTTP/1.1, kept.
    Http1,
    /// One of HTTP/2, kept.
    Http2,
    /// A new one of HTTP/1.1 for each request, with a full handshake.
    New,
}

impl Case {
    /// In the order of the table. Those whose difference is of interest follow on each other.
    pub(crate) const ALL: [Self; 12] = [
        Self::NginxHttp1,
        Self::NginxHttp2,
        Self::ReadHttp1,
        Self::ReadHttp2,
        Self::ReadGrpc,
        Self::Decided,
        Self::ApiServer,
        Self::Opa,
        Self::NginxHandshake,
        Self::ReadHandshake,
        Self::PageKept,
        Self::PageDecided,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NginxHttp1 => "nginx: static file",
            Self::NginxHttp2 => "nginx: static file, HTTP/2",
            Self::ReadHttp1 => "scalegate: read",
            Self::ReadHttp2 => "scalegate: read, HTTP/2",
            Self::ReadGrpc => "scalegate: read, gRPC",
            Self::Decided => "scalegate: uncached read",
            Self::ApiServer => "kube-apiserver: GET from its cache",
            Self::Opa => "OPA server: the decision alone, no TLS",
            Self::NginxHandshake => "nginx: handshake and static file",
            Self::ReadHandshake => "scalegate: handshake and read",
            Self::PageKept => "scalegate: list of 500",
            Self::PageDecided => "scalegate: uncached list of 500",
        }
    }

    pub(crate) fn peer(self) -> Peer {
        match self {
            Self::NginxHttp1 | Self::NginxHttp2 | Self::NginxHandshake => Peer::Nginx,
            Self::ReadHttp1 | Self::ReadHttp2 | Self::ReadGrpc | Self::ReadHandshake | Self::PageKept => Peer::Gateway,
            Self::Decided | Self::PageDecided => Peer::Forgetful,
            Self::ApiServer => Peer::ApiServer,
            Self::Opa => Peer::Opa,
        }
    }

    pub(crate) fn connections(self) -> Connections {
        match self {
            Self::NginxHttp2 | Self::ReadHttp2 | Self::ReadGrpc => Connections::Http2,
            Self::NginxHandshake | Self::ReadHandshake => Connections::New,
            _ => Connections::Http1,
        }
    }

    pub(crate) fn codec(self) -> Codec {
        if self == Self::ReadGrpc { Codec::Grpc } else { Codec::Json }
    }

    /// What is asked; `question` is the body for OPA.
    pub(crate) fn request(self, question: &str) -> Template {
        match self {
            Self::PageKept | Self::PageDecided => {
                Template::plain(Method::GET, &format!("/v1/deployments?limit={PAGE}"), "")
            }
            Self::ApiServer => {
                let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}?resourceVersion=0");
                Template::plain(Method::GET, &path, "")
            }
            Self::Opa => Template::plain(Method::POST, "/v1/data/scalegate/verdict", question),
            Self::NginxHttp1 | Self::NginxHandshake => Template::plain(Method::GET, &replicas(NAMESPACE, NAME), ""),
            _ => Template::get(NAMESPACE, NAME),
        }
    }

    /// By how many bytes two of its bodies may differ: the gateway's say how old their facts are.
    pub(crate) fn slack(self) -> usize {
        const AGE: usize = 9;
        match self {
            Self::PageKept | Self::PageDecided => PAGE * AGE,
            _ if matches!(self.peer(), Peer::Gateway | Peer::Forgetful) => AGE,
            _ => 0,
        }
    }
}
