package api

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// Alerts of a server that refuses the caller's certificate (RFC 8446, 6).
const (
	alertBadCertificate      = tls.AlertError(42)
	alertUnknownAuthority    = tls.AlertError(48)
	alertCertificateRequired = tls.AlertError(116)
)

// explainTLS gives words to what usually goes wrong between an agent and a caller
// whose certificates do not fit; other errors stay.
func explainTLS(err error) error {
	var host x509.HostnameError
	var remote *net.OpError
	switch {
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return fmt.Errorf("%w (name the file with its authority's certificate: -ca-cert, STEPPE_CACERT)", err)
	case errors.As(err, &host):
		return fmt.Errorf("%w (the name to expect instead: -tls-server-name, STEPPE_TLS_SERVER_NAME)", err)
	case errors.Is(err, http.ErrSchemeMismatch):
		return errors.New("it speaks HTTP without TLS: the address begins with http://")
	case errors.As(err, &remote) && remote.Op == "remote error":
		switch remote.Err.Error() {
		case alertCertificateRequired.Error():
			return errors.New("it wants a certificate of the caller: -client-cert and -client-key, STEPPE_CLIENT_CERT and STEPPE_CLIENT_KEY")
		case alertBadCertificate.Error(), alertUnknownAuthority.Error():
			return fmt.Errorf("it does not trust the caller's certificate (-client-cert, STEPPE_CLIENT_CERT): %w", err)
		}
	}
	return err
}

// plainToTLS is net/http's answer to a caller that does not encrypt.
const plainToTLS = "Client sent an HTTP request to an HTTPS server."

// explainAnswer adds what to do to an answer that net/http gives by itself.
func explainAnswer(text string) string {
	if strings.TrimSpace(text) == plainToTLS {
		return "the agent speaks HTTP with TLS: the address begins with https:// (-address, STEPPE_ADDR), and -ca-cert names its authority's certificate"
	}
	return text
}
