//! TLS towards upstreams: always verified, against the system's trust store plus an extra file.

use std::path::Path;
use std::sync::Arc;

use api_key_lb_core::Plan;
use arc_swap::ArcSwapOption;
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;

use crate::error::EngineError;

/// Whom connections to upstreams trust. Shared between workers.
#[derive(Clone, Debug)]
pub(crate) struct Trust(Arc<ArcSwapOption<ClientConfig>>);

impl Trust {
    /// What the targets of `plan` need.
    pub(crate) fn of(plan: &Plan, extra_ca: Option<&Path>) -> Result<Self, EngineError> {
        let config = client_config_of(plan, extra_ca)?;
        Ok(Self(Arc::new(ArcSwapOption::new(config))))
    }

    /// What new connections are made with; `None` until a plan has a TLS target and the trust store
    /// could be loaded.
    pub(crate) fn config(&self) -> Option<Arc<ClientConfig>> {
        self.0.load_full()
    }

    /// Reads everything anew: the store of the system and the file may have changed.
    pub(crate) fn renew(&self, plan: &Plan, extra_ca: Option<&Path>) -> Result<(), EngineError> {
        self.0.store(client_config_of(plan, extra_ca)?);
        Ok(())
    }
}

/// The client configuration for the targets of `plan`; `None` if none of them needs one and the
/// trust store cannot be loaded, since a machine without one can still serve plain targets.
pub(crate) fn client_config_of(
    plan: &Plan,
    extra_ca: Option<&Path>,
) -> Result<Option<Arc<ClientConfig>>, EngineError> {
    let wants_tls = plan
        .pools()
        .flat_map(|pool| &pool.keys)
        .any(|key| key.target.tls());
    if wants_tls || extra_ca.is_some() {
        client_config(extra_ca).map(Some)
    } else {
        Ok(client_config(None).ok())
    }
}

/// The client configuration for all upstreams. The provider of cryptography is chosen here and
/// nowhere else. Company machines have an intercepting authority in the system's store, so that
/// store is used and not a bundled one.
fn client_config(extra_ca: Option<&Path>) -> Result<Arc<ClientConfig>, EngineError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let extra = extra_ca
        .map(read_certificates)
        .transpose()?
        .unwrap_or_default();
    let verifier = verifier(extra, Arc::clone(&provider))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| EngineError::TrustStore(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn verifier(
    extra: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Verifier, EngineError> {
    let verifier = if extra.is_empty() {
        Verifier::new(provider)
    } else {
        Verifier::new_with_extra_roots(extra, provider)
    };
    verifier.map_err(|error| EngineError::TrustStore(error.to_string()))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, EngineError> {
    let unusable = |why: String| EngineError::CaFile {
        path: path.to_owned(),
        why,
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(error.to_string()))?;
    if certificates.is_empty() {
        return Err(unusable("it holds no PEM certificate".into()));
    }
    Ok(certificates)
}
