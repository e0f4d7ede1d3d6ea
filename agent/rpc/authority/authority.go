// Package authority makes certificates out of a cluster's key, so that agents
// that share the key authenticate each other without any file.
//
// Every holder of a key derives the same authority from it, byte for byte, and
// mints itself a certificate whose private key never leaves the process. Who
// does not hold the key can neither derive the authority nor mint.
//
//	ca, err := authority.Derive(key)
//	leaf, err := ca.Mint(agentID, region)
package authority

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"time"

	"github.com/steppe-project/steppe/model"
)

// KeyBytes is the length of a cluster key (gossip's AES-256).
const KeyBytes = 32

// Certificates are valid for ever: the key is the secret and they live as long as
// the process, so clocks that are wrong must not matter.
var (
	validFrom  = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	validUntil = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Authority is the certificate authority of one key.
type Authority struct {
	// Cert is its certificate.
	Cert *x509.Certificate
	key  ed25519.PrivateKey
}

// Derive makes the authority of a cluster key. CodeInvalid when the key has not
// KeyBytes.
func Derive(key []byte) (*Authority, error) {
	if len(key) != KeyBytes {
		return nil, model.Errorf(model.CodeInvalid, "encrypt key has %d bytes, %d are needed", len(key), KeyBytes)
	}
	seed, err := hkdf.Key(sha256.New, key, nil, "steppe agent authority v1", ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("derive authority: %w", err)
	}
	priv := ed25519.NewKeyFromSeed(seed)
	pub := priv.Public().(ed25519.PublicKey)
	mark := sha256.Sum256(pub)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "steppe cluster " + hex.EncodeToString(mark[:4])},
		NotBefore:    validFrom, NotAfter: validUntil,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(nil, tmpl, tmpl, pub, priv)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read authority back: %w", err)
	}
	return &Authority{Cert: cert, key: priv}, nil
}

// Mint makes a certificate for both sides of a connection, with a new private
// key that exists in this process only. name becomes its common name, region its
// organizational unit ("" for none).
func (a *Authority) Mint(name, region string) (tls.Certificate, error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name, OrganizationalUnit: units(region)},
		NotBefore: validFrom, NotAfter: validUntil, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.Cert, pub, a.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: priv}, nil
}

// units is the region as a certificate carries it.
func units(region string) []string {
	if region == "" {
		return nil
	}
	return []string{region}
}

// RegionOf is the region of the agent that a certificate was minted for, "" when
// it names none.
func RegionOf(cert *x509.Certificate) string {
	if len(cert.Subject.OrganizationalUnit) != 1 {
		return ""
	}
	return cert.Subject.OrganizationalUnit[0]
}
