package agent

import (
	"crypto/tls"
	"crypto/x509"
	"os"

	"github.com/steppe-project/steppe/model"
)

// httpTLS is the HTTP listener's TLS, nil without.
func (a *Agent) httpTLS() (*tls.Config, error) {
	t := a.cfg.TLS
	if !t.HTTP {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, model.Errorf(model.CodeInvalid, "tls.cert_file and tls.key_file: %w", err)
	}
	out := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if t.VerifyHTTPSClient {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, model.Errorf(model.CodeInvalid, "tls.ca_file: %w", err)
		}
		out.ClientCAs, out.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !out.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, model.Errorf(model.CodeInvalid, "tls.ca_file %s holds no certificate in PEM form", t.CAFile)
		}
	}
	return out, nil
}
