//! Whom to trust: the platform's certificate authorities, and those that `NODE_EXTRA_CA_CERTS` names. A machine that has none, as
//! slim images, is given Mozilla's, which Node brings with it too.
//!
//! The ring provider is handed to the configuration and never installed for the process, so a Rust program that prefers
//! another one keeps its choice.

use std::error::Error as StdError;
use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::{env, fs, io};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_platform_verifier::Verifier;

use crate::error::{Failure, FailureClass};

/// The variable by which Node is told of further authorities: a PEM file, which may hold several.
const EXTRA: &str = "NODE_EXTRA_CA_CERTS";

/// What TLS connections are made with.
pub(super) struct Tls {
    /// Offers HTTP/2, then HTTP/1.1.
    pub(super) config: ClientConfig,
    /// Why no certificate can be verified, if the environment says to trust what is not there: plain http to this machine works all
    /// the same.
    pub(super) missing: Option<Failure>,
}

impl Tls {
    /// The configuration of this process. Read once, when it is first asked for and succeeds, as Node does.
    pub(super) fn shared() -> Result<Arc<Self>, Failure> {
        static SHARED: Mutex<Option<Arc<Tls>>> = Mutex::new(None);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tls) = shared.as_ref() {
            return Ok(Arc::clone(tls));
        }
        let tls = Arc::new(Self::read(env::var_os(EXTRA))?);
        Ok(Arc::clone(shared.insert(tls)))
    }

    /// Trusts the platform's authorities and those in the file `extra`, unless it is empty.
    fn read(extra: Option<OsString>) -> Result<Self, Failure> {
        let extra = extra.filter(|path| !path.is_empty()).map_or(Ok(Vec::new()), |path| certificates(path.as_ref()))?;
        let (builder, provider) = builder()?;
        let named = named(|name| env::var_os(name));
        let platform = Verifier::new(Arc::clone(&provider));
        let (builder, missing) = match platform {
            Err(_) if named.is_empty() => (builder.with_root_certificates(mozilla(extra)), None),
            // Trusts nobody, but is never asked.
            Err(_) if extra.is_empty() => {
                (builder.with_root_certificates(RootCertStore::empty()), Some(nowhere(&named)))
            }
            platform => {
                let verifier = match platform {
                    Ok(verifier) if extra.is_empty() => Ok(verifier),
                    _ => Verifier::new_with_extra_roots(extra, provider),
                };
                let verifier = verifier.map_err(|error| unusable(&error))?;
                (builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)), None)
            }
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { config, missing })
    }
}

/// A configuration for where there is no TLS: trusts nobody, and reads no certificate.
///
/// # Errors
/// None that could be met; as [`Tls::shared`].
pub(super) fn unused() -> Result<ClientConfig, Failure> {
    Ok(builder()?.0.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn builder() -> Result<(ConfigBuilder<ClientConfig, WantsVerifier>, Arc<CryptoProvider>), Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    Ok((builder.map_err(|error| unusable(&error))?, provider))
}

fn unusable(error: &rustls::Error) -> Failure {
    Failure::new(FailureClass::Transient, format!("TLS cannot be set up: {error}")).unsent()
}

/// Where the environment says that the authorities are, which are then trusted in the place of the platform's.
fn named(read: impl Fn(&str) -> Option<OsString>) -> Vec<String> {
    let names = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter();
    let told = |name, value: OsString| {
        if value.is_empty() {
            format!("{name} is empty")
        } else {
            format!("{name} names {}", Path::new(&value).display())
        }
    };
    names.filter_map(|name| Some(told(name, read(name)?))).collect()
}

/// That nobody can be trusted, because nobody is where the environment says.
fn nowhere(named: &[String]) -> Failure {
    let named = named.join(", ");
    let message = format!("no certificate authority is known: {named}, and no certificate can be read there");
    Failure::new(FailureClass::Auth, message).unsent()
}

/// Mozilla's authorities, and these.
fn mozilla(extra: Vec<CertificateDer<'static>>) -> RootCertStore {
    let mut store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    store.add_parsable_certificates(extra);
    store
}

/// The certificates in a PEM file. Node warns and goes on when it cannot read it; here that is a failure, because what
/// follows otherwise is a TLS error that names nothing.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let fault = |why: &dyn std::fmt::Display| {
        let message = format!("{EXTRA}: expected a PEM file of certificates at {}: {why}", path.display());
        Failure::new(FailureClass::Auth, message).unsent()
    };
    let text = fs::read(path).map_err(|error| fault(&error))?;
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|error| fault(&error))?;
    if found.is_empty() {
        return Err(fault(&"it holds none"));
    }
    let mut store = RootCertStore::empty();
    found.iter().try_for_each(|certificate| store.add(certificate.clone())).map_err(|error| fault(&error))?;
    Ok(found)
}

/// What rustls says is wrong, if it says so anywhere in `error` or its causes.
pub(super) fn problem<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    std::iter::successors(Some(error), |error| match (*error).downcast_ref::<io::Error>() {
        // An `io::Error` gives as its cause that of what it wraps, not what it wraps.
        Some(error) => error.get_ref().map(|wrapped| wrapped as &(dyn StdError + 'static)),
        None => (*error).source(),
    })
    .find_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn refused(path: &Path) -> Failure {
        Tls::read(Some(path.into())).err().expect("it cannot be read")
    }

    #[test]
    fn a_file_of_authorities_that_cannot_be_used_is_named_with_its_variable() {
        let missing = refused(Path::new("/nowhere/company.pem"));
        assert!(missing.message.contains("NODE_EXTRA_CA_CERTS"), "{}", missing.message);
        assert!(missing.message.contains("/nowhere/company.pem"), "{}", missing.message);
        assert!(!missing.is_sent);
        let base64_of_no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in ["", "not a certificate", base64_of_no_certificate] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let message = refused(file.path()).message;
            assert!(message.contains(&file.path().display().to_string()), "{message}");
        }
    }

    #[test]
    fn a_variable_that_names_no_authority_is_shown_with_its_value() {
        assert!(named(|_| None).is_empty());
        let failure = nowhere(&named(|name| (name == "SSL_CERT_FILE").then(|| "/nowhere/ca.pem".into())));
        assert!(failure.message.contains("SSL_CERT_FILE names /nowhere/ca.pem, and no"), "{}", failure.message);
    }

    #[test]
    fn a_machine_without_authorities_trusts_mozillas_and_the_companys() {
        let company = CertificateDer::from_pem_slice(include_bytes!("../../tests/support/certificate.pem")).unwrap();
        let count = mozilla(Vec::new()).len();
        assert!(count > 100, "{count}");
        assert_eq!(mozilla(vec![company]).len(), count + 1);
    }

    #[test]
    fn an_empty_variable_is_no_file() {
        assert!(Tls::read(Some(OsString::new())).is_ok());
    }
}
