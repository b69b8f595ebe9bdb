//! Which of this machine's addresses leads to an edge.

use crate::Error;
use std::net::SocketAddr;

/// A local address on the way to the server of a URL, with port 0: nothing is sent, the routing table is asked.
pub(crate) async fn towards(url: &str) -> Result<SocketAddr, Error> {
    let wrong = || Error::Option(format!("'{url}' is not an http or https URL"));
    let parsed = reqwest::Url::parse(url).map_err(|_| wrong())?;
    let host = parsed.host_str().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
    let port = parsed.port_or_known_default().ok_or_else(wrong)?;
    let unreachable = |error: std::io::Error| Error::Unreachable { url: url.to_owned(), why: error.to_string() };
    let mut addresses = tokio::net::lookup_host((host, port)).await.map_err(unreachable)?;
    let there = addresses.next().ok_or_else(wrong)?;
    let any: SocketAddr = if there.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = tokio::net::UdpSocket::bind(any).await.map_err(unreachable)?;
    socket.connect(there).await.map_err(unreachable)?;
    let mut here = socket.local_addr().map_err(unreachable)?;
    here.set_port(0);
    Ok(here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn loopback_leads_to_loopback() {
        let here = towards("http://127.0.0.1:9/x").await.unwrap();
        assert!(here.ip().is_loopback() && here.port() == 0);
        assert!(towards("nonsense").await.is_err());
    }
}
