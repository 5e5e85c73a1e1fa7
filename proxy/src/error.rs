//! What can go wrong with one request. Closed: a new kind of failure must answer every question here.
//!
//! [`Error::reason`] is the one word for a failure: the `error` parameter of `Proxy-Status` (RFC 9209, section 2.3), the
//! metric label and the access-log field are the same word.

use http::StatusCode;

/// A request that got no response from a site system, or was not allowed to ask one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// No role of the listener serves this path.
    NoRoute,
    /// The role does not take this method.
    MethodNotAllowed,
    /// The servers of the role hold different data and the request names none of them.
    NotNamed,
    /// The listener requires a client certificate on this path and the client showed none.
    NoClientCertificate,
    /// The connection began under rules that hold no more, or its certificate has ended since.
    NotLetIn,
    /// The request authenticates its connection, which many requests share over HTTP/2.
    NeedsHttp11,
    /// The request has been here before: a site system leads back to us.
    Loop,
    /// The request cannot be forwarded without changing its meaning.
    BadRequest,
    /// What came is no head of a request (RFC 9112, section 3).
    BadHead,
    /// The head of the request is larger than `max_header_size` (RFC 6585, section 5).
    HeadTooLarge,
    /// The request is of another major version than 1.
    UnknownVersion,
    /// The host is missing, there are two, or it is none (RFC 9112, section 3.2; RFC 9113, section 8.3.1).
    InvalidHost,
    /// The target has a fragment, which no client may send (RFC 9112, section 3.2), or it cannot be told where the request begins.
    InvalidTarget,
    /// The path has a segment of dots: the server would take it for another path than the one that was routed.
    DotSegment,
    /// The request body has a transfer coding besides `chunked` (RFC 9112, section 6.1).
    UnknownCoding,
    /// The framing of the request body is broken.
    InvalidBody,
    /// The request body is larger than the role allows.
    BodyTooLarge,
    /// The client stopped sending its body.
    BodyTimeout,
    /// The client went away; nobody will read the answer.
    ClientGone,
    /// The client's boundary groups and their fallbacks name no server of the role.
    NoServer,
    /// People have taken all servers out that the client may use.
    TakenOut,
    /// No server of the role is well.
    NoneWell,
    /// The servers that are open to the client cannot serve, and its fallback groups open later.
    NotYet,
    /// Not every server has been asked yet whether it has the content.
    Searching,
    /// The server that has the client's BITS upload session is down or gone.
    UploadLost,
    /// Every server that is well is at its limit.
    Overloaded,
    /// This process is out of descriptors, ports or memory for another connection.
    OutOfResources,
    /// The server's port is closed.
    ConnectRefused,
    /// The server did not take the connection in time.
    ConnectTimeout,
    /// There is no way to the server, or the connection could not be made for another reason.
    ConnectFailed,
    /// The TLS handshake failed for another reason than the certificate.
    TlsFailed,
    /// The server's certificate is not trusted.
    TlsCertificate,
    /// A connection ended before anything was sent on it.
    NeverSent,
    /// The connection ended before the response head was complete; the server may have seen the request.
    Terminated,
    /// The response head did not come in time.
    ResponseTimeout,
    /// The whole exchange took too long.
    TotalTimeout,
    /// The server's answer is not HTTP.
    BadResponse,
    /// The server agreed to an upgrade and then did not.
    UpgradeFailed,
}

/// Whose fault it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client's.
    Downstream,
    /// The site system's.
    Upstream,
    /// Nobody's but ours: configuration or capacity.
    Internal,
}

/// Whether the request may be sent again, to another endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// No.
    Never,
    /// Always: no server has seen any of it.
    Unsent,
    /// Only if the method may be repeated and the body is still here.
    Repeatable,
}

impl Error {
    /// All of them, in the order of [`Error::index`].
    pub const ALL: [Self; 38] = [
        Self::NoRoute,
        Self::MethodNotAllowed,
        Self::NotNamed,
        Self::NoClientCertificate,
        Self::NotLetIn,
        Self::NeedsHttp11,
        Self::Loop,
        Self::BadRequest,
        Self::BadHead,
        Self::HeadTooLarge,
        Self::UnknownVersion,
        Self::InvalidHost,
        Self::InvalidTarget,
        Self::DotSegment,
        Self::UnknownCoding,
        Self::InvalidBody,
        Self::BodyTooLarge,
        Self::BodyTimeout,
        Self::ClientGone,
        Self::NoServer,
        Self::TakenOut,
        Self::NoneWell,
        Self::NotYet,
        Self::Searching,
        Self::UploadLost,
        Self::Overloaded,
        Self::OutOfResources,
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::ConnectFailed,
        Self::TlsFailed,
        Self::TlsCertificate,
        Self::NeverSent,
        Self::Terminated,
        Self::ResponseTimeout,
        Self::TotalTimeout,
        Self::BadResponse,
        Self::UpgradeFailed,
    ];

    /// Position in [`Error::ALL`], for tables of metric handles.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotNamed => StatusCode::MISDIRECTED_REQUEST,
            Self::NoClientCertificate | Self::NotLetIn => StatusCode::FORBIDDEN,
            Self::NeedsHttp11 | Self::UnknownVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BadRequest
            | Self::BadHead
            | Self::InvalidHost
            | Self::InvalidTarget
            | Self::DotSegment
            | Self::InvalidBody => StatusCode::BAD_REQUEST,
            Self::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout | Self::ClientGone => StatusCode::REQUEST_TIMEOUT,
            Self::NoServer
            | Self::TakenOut
            | Self::NoneWell
            | Self::NotYet
            | Self::Searching
            | Self::Overloaded
            | Self::OutOfResources => StatusCode::SERVICE_UNAVAILABLE,
            // MC-BUP, section 2.2.1.2: a session that is not found is told with 500.
            Self::UploadLost => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ConnectRefused
            | Self::ConnectFailed
            | Self::TlsFailed
            | Self::TlsCertificate
            | Self::NeverSent
            | Self::Terminated
            | Self::BadResponse
            | Self::UpgradeFailed => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout | Self::ResponseTimeout | Self::TotalTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The RFC 9209 word.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoRoute | Self::NotNamed => "destination_not_found",
            Self::MethodNotAllowed | Self::NoClientCertificate | Self::NotLetIn | Self::NeedsHttp11 => {
                "http_request_denied"
            }
            Self::Loop => "proxy_loop_detected",
            Self::BadRequest
            | Self::BadHead
            | Self::HeadTooLarge
            | Self::UnknownVersion
            | Self::InvalidHost
            | Self::InvalidTarget
            | Self::DotSegment
            | Self::UnknownCoding
            | Self::InvalidBody
            | Self::BodyTooLarge
            | Self::BodyTimeout
            | Self::ClientGone => "http_request_error",
            Self::NoServer | Self::TakenOut | Self::NoneWell | Self::NotYet | Self::Searching | Self::UploadLost => {
                "destination_unavailable"
            }
            Self::Overloaded => "connection_limit_reached",
            Self::OutOfResources => "proxy_internal_error",
            Self::ConnectRefused => "connection_refused",
            Self::ConnectTimeout => "connection_timeout",
            Self::ConnectFailed => "destination_ip_unroutable",
            Self::TlsFailed => "tls_protocol_error",
            Self::TlsCertificate => "tls_certificate_error",
            Self::NeverSent | Self::Terminated => "connection_terminated",
            Self::ResponseTimeout | Self::TotalTimeout => "http_response_timeout",
            Self::BadResponse => "http_protocol_error",
            Self::UpgradeFailed => "http_upgrade_failed",
        }
    }

    /// One sentence for the `details` of `Proxy-Status` and the body of the answer.
    pub fn details(self) -> &'static str {
        match self {
            Self::NoRoute => "no role of this listener serves the path",
            Self::MethodNotAllowed => "the role does not take this method",
            Self::NotNamed => "the Host names no server of this role, and each holds data of its own",
            Self::NoClientCertificate => "Client certificate required",
            Self::NotLetIn => "the connection began under rules that hold no more, or its certificate has ended",
            Self::NeedsHttp11 => "Windows authentication is bound to a connection and needs HTTP/1.1",
            Self::Loop => "the request has been here before: a site system of this role leads back to this proxy",
            Self::BadRequest => "the request cannot be forwarded",
            Self::BadHead => "what came is not the head of an HTTP/1.1 request",
            Self::HeadTooLarge => "the head of the request is larger than max_header_size",
            Self::UnknownVersion => "the version is not HTTP/1.0 or HTTP/1.1",
            Self::InvalidHost => "Host is missing, is there twice, or is not a host with an optional port",
            Self::InvalidTarget => {
                "the target has a fragment or a byte that no target has, is none, or is * and the method is not OPTIONS"
            }
            Self::DotSegment => "the path has a segment of dots, plain or encoded",
            Self::UnknownCoding => "the request body has a transfer coding besides chunked",
            Self::InvalidBody => "the framing of the request body is broken",
            Self::BodyTooLarge => "the request body is larger than the role allows",
            Self::BodyTimeout => "the request body stopped coming",
            Self::ClientGone => "the client went away",
            Self::NoServer => "the client's boundary groups name no server of this role",
            Self::TakenOut => "every server of this role that could serve is drained or in maintenance",
            Self::NoneWell => "no server of this role is well",
            Self::NotYet => {
                "the servers of the client's boundary groups cannot serve, and its fallback time has not passed"
            }
            Self::Searching => "not every server has been asked for this content yet",
            Self::UploadLost => "the server that has this upload session is down: begin a new session",
            Self::Overloaded => "every server of this role is at its limit",
            Self::OutOfResources => "the proxy has no descriptor, port or memory left for a connection",
            Self::ConnectRefused => "the server refused the connection",
            Self::ConnectTimeout => "the server did not take the connection in time",
            Self::ConnectFailed => "the server cannot be reached",
            Self::TlsFailed => "the TLS handshake with the server failed",
            Self::TlsCertificate => "the server's certificate is not trusted",
            Self::NeverSent => "the connection closed before the request was sent",
            Self::Terminated => "the server closed the connection before it answered",
            Self::ResponseTimeout => "the server did not answer in time",
            Self::TotalTimeout => "the exchange took too long",
            Self::BadResponse => "the server's answer is not HTTP",
            Self::UpgradeFailed => "the server did not complete the upgrade",
        }
    }

    /// Whose fault it was.
    pub fn side(self) -> Side {
        match self {
            Self::NoRoute
            | Self::MethodNotAllowed
            | Self::NotNamed
            | Self::NoClientCertificate
            | Self::NotLetIn
            | Self::NeedsHttp11
            | Self::BadRequest
            | Self::BadHead
            | Self::HeadTooLarge
            | Self::UnknownVersion
            | Self::InvalidHost
            | Self::InvalidTarget
            | Self::DotSegment
            | Self::UnknownCoding
            | Self::InvalidBody
            | Self::BodyTooLarge
            | Self::BodyTimeout
            | Self::ClientGone => Side::Downstream,
            Self::NoServer
            | Self::TakenOut
            | Self::NoneWell
            | Self::NotYet
            | Self::Searching
            | Self::UploadLost
            | Self::Overloaded
            | Self::Loop
            | Self::OutOfResources => Side::Internal,
            Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::ConnectFailed
            | Self::TlsFailed
            | Self::TlsCertificate
            | Self::NeverSent
            | Self::Terminated
            | Self::ResponseTimeout
            | Self::TotalTimeout
            | Self::BadResponse
            | Self::UpgradeFailed => Side::Upstream,
        }
    }

    /// Whether another endpoint may be asked.
    pub fn retry(self) -> Retry {
        match self {
            // Another endpoint may have an idle connection, or be at another address and so have ports left.
            Self::OutOfResources
            | Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::ConnectFailed
            | Self::TlsFailed
            | Self::TlsCertificate
            | Self::NeverSent => Retry::Unsent,
            Self::Terminated | Self::ResponseTimeout | Self::BadResponse => Retry::Repeatable,
            Self::NoRoute
            | Self::MethodNotAllowed
            | Self::NotNamed
            | Self::NoClientCertificate
            | Self::NotLetIn
            | Self::NeedsHttp11
            | Self::Loop
            | Self::BadRequest
            | Self::BadHead
            | Self::HeadTooLarge
            | Self::UnknownVersion
            | Self::InvalidHost
            | Self::InvalidTarget
            | Self::DotSegment
            | Self::UnknownCoding
            | Self::InvalidBody
            | Self::BodyTooLarge
            | Self::BodyTimeout
            | Self::ClientGone
            | Self::NoServer
            | Self::TakenOut
            | Self::NoneWell
            | Self::NotYet
            | Self::Searching
            | Self::UploadLost
            | Self::Overloaded
            | Self::TotalTimeout
            | Self::UpgradeFailed => Retry::Never,
        }
    }

    /// Whether the endpoint's passive health should hear of it. A connection that an idle timeout closed is nobody's
    /// failure.
    pub fn blames_endpoint(self) -> bool {
        self.side() == Side::Upstream && self != Self::NeverSent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_complete_and_in_order() {
        for (position, error) in Error::ALL.into_iter().enumerate() {
            assert_eq!(error.index(), position, "{error:?}");
        }
    }

    #[test]
    fn words_are_those_of_rfc_9209() {
        let known = [
            "destination_not_found",
            "destination_unavailable",
            "destination_ip_unroutable",
            "connection_refused",
            "connection_terminated",
            "connection_timeout",
            "connection_limit_reached",
            "tls_protocol_error",
            "tls_certificate_error",
            "http_request_error",
            "http_request_denied",
            "http_response_timeout",
            "http_upgrade_failed",
            "http_protocol_error",
            "proxy_internal_error",
            "proxy_loop_detected",
        ];
        for error in Error::ALL {
            assert!(known.contains(&error.reason()), "{error:?}");
        }
    }

    #[test]
    fn what_a_server_may_have_seen_is_never_sent_blindly() {
        for error in Error::ALL {
            if error.retry() == Retry::Unsent {
                assert!(error.side() == Side::Upstream || error == Error::OutOfResources, "{error:?}");
                assert!(!matches!(error, Error::Terminated | Error::ResponseTimeout), "{error:?}");
            }
        }
    }
}
