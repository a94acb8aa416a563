//! Certificates and lists that Evenkeel itself would not make.

use camino::Utf8PathBuf;
use evenkeel_common::files::write_atomically;
use evenkeel_common::pki::{Issued, Validity};
use evenkeel_common::tls::TlsFiles;
use rcgen::{
    CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose, Issuer,
    KeyIdMethod, KeyPair, RevokedCertParams, SanType, SerialNumber,
};

use crate::cluster::Cluster;

impl Cluster {
    fn issuer(&self) -> Issuer<'static, KeyPair> {
        Issuer::from_ca_cert_pem(
            self.authority.certificate_pem(),
            KeyPair::from_pem(&std::fs::read_to_string(self.path("ca.key")).unwrap()).unwrap(),
        )
        .unwrap()
    }

    /// A certificate of our CA that Evenkeel itself would never issue.
    pub(crate) fn odd_end(&self, uris: &[&str], usages: &[ExtendedKeyUsagePurpose]) -> TlsFiles {
        let mut params = CertificateParams::default();
        params.extended_key_usages = usages.to_vec();
        params.subject_alt_names = uris
            .iter()
            .map(|uri| SanType::URI((*uri).try_into().unwrap()))
            .collect();
        let key = KeyPair::generate().unwrap();
        let issued = Issued {
            certificate_pem: params.signed_by(&key, &self.issuer()).unwrap().pem(),
            key_pem: key.serialize_pem(),
        };
        self.write("odd", &issued)
    }

    /// A revocation list that names these serial numbers and is due to be replaced `next` from now on.
    pub(crate) fn revoke(&self, serials: &[&str], validity: Validity) -> Utf8PathBuf {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&hex(serial)),
            revocation_time: validity.not_before.into(),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: validity.not_before.into(),
            next_update: validity.not_after.into(),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let path = self.path("revoked.pem");
        let pem = list.signed_by(&self.issuer()).unwrap().pem().unwrap();
        write_atomically(&path, pem.as_bytes(), 0o644).unwrap();
        path
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}
