package agent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"

	"github.com/steppe-project/steppe/agent/rpc/port"
	"github.com/steppe-project/steppe/model"
)

// rpcFiles are the operator's certificates for RPC and Raft.
func (a *Agent) rpcFiles() port.Files {
	t := a.cfg.TLS
	return port.Files{CA: t.CAFile, Cert: t.CertFile, Key: t.KeyFile, VerifyServer: t.VerifyServerHost, Region: a.cfg.Region}
}

// httpTLS is the HTTP listener's TLS, nil without. Each handshake takes the
// newest certificates.
func (a *Agent) httpTLS() (*tls.Config, error) {
	if !a.cfg.TLS.HTTP {
		return nil, nil
	}
	if err := a.loadHTTP(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return a.httpCerts.Load(), nil },
	}, nil
}

// loadHTTP reads the HTTP listener's certificates; on failure the last ones stay.
func (a *Agent) loadHTTP() error {
	t := a.cfg.TLS
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return model.Errorf(model.CodeInvalid, "tls.cert_file and tls.key_file: %w", err)
	}
	out := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if t.VerifyHTTPSClient {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return model.Errorf(model.CodeInvalid, "tls.ca_file: %w", err)
		}
		out.ClientCAs, out.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !out.ClientCAs.AppendCertsFromPEM(pem) {
			return model.Errorf(model.CodeInvalid, "tls.ca_file %s holds no certificate in PEM form", t.CAFile)
		}
	}
	a.httpCerts.Store(out)
	return nil
}

// Reload reads the certificates anew, as after a renewal. Connections that stand
// go on. What cannot be read stays as it was.
func (a *Agent) Reload() error {
	var errs []error
	if a.cfg.TLS.HTTP {
		errs = append(errs, a.loadHTTP())
	}
	if a.cfg.TLS.RPC {
		errs = append(errs, a.security.SetFiles(a.rpcFiles()))
	}
	err := errors.Join(errs...)
	if err != nil {
		a.log.Error("certificates were not reloaded", "error", err)
		return err
	}
	a.log.Info("reloaded", "certificates", len(errs) > 0)
	return nil
}
