//! Alerts that travel in the clear (RFC 8446, section 6; SSL 3.0 in RFC 6101, section 5.4).

/// A plaintext alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    /// 1 warning, 2 fatal.
    pub level: u8,
    /// What it says (IANA registry "TLS Alerts").
    pub description: u8,
}

impl Alert {
    /// SSL 3.0's answer of a client that has no certificate.
    pub(super) const NO_CERTIFICATE: u8 = 41;

    /// Whether the handshake ends with it. Warnings that leave it going: no_certificate, user_canceled,
    /// no_renegotiation, unrecognized_name.
    #[must_use]
    pub const fn ends_handshake(self) -> bool {
        self.level != 1 || !matches!(self.description, Self::NO_CERTIFICATE | 90 | 100 | 112)
    }

    /// The registered name, or the number.
    #[must_use]
    pub fn name(self) -> String {
        let known = match self.description {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            21 => "decryption_failed",
            22 => "record_overflow",
            30 => "decompression_failure",
            40 => "handshake_failure",
            41 => "no_certificate",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            100 => "no_renegotiation",
            109 => "missing_extension",
            110 => "unsupported_extension",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            120 => "no_application_protocol",
            121 => "ech_required",
            other => return other.to_string(),
        };
        known.to_owned()
    }
}

/// Gathers the two bytes of an alert.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AlertReader(Option<u8>);

impl AlertReader {
    /// The next bytes of the record; the alert once it is whole.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<Alert> {
        let mut alert = None;
        for byte in bytes {
            match self.0.take() {
                None => self.0 = Some(*byte),
                Some(level) => alert = Some(Alert { level, description: *byte }),
            }
        }
        alert
    }
}
