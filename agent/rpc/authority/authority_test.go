package authority

import (
	"bytes"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/steppe-project/steppe/model"
)

func TestDerivedTheSameEverywhere(t *testing.T) {
	key := bytes.Repeat([]byte{7}, KeyBytes)
	a, err := Derive(key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Derive(key)
	if err != nil || !a.Cert.Equal(b.Cert) {
		t.Errorf("two authorities of one key differ, %v", err)
	}
	key[0]++
	c, err := Derive(key)
	if err != nil || a.Cert.Equal(c.Cert) {
		t.Errorf("authorities of two keys are the same, %v", err)
	}
	if _, err := Derive(key[1:]); model.CodeOf(err) != model.CodeInvalid {
		t.Errorf("short key: %v", err)
	}
}

func TestMintedIsTrustedByItsAuthorityOnly(t *testing.T) {
	a, err := Derive(make([]byte, KeyBytes))
	if err != nil {
		t.Fatal(err)
	}
	b, err := Derive(bytes.Repeat([]byte{1}, KeyBytes))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := a.Mint("agent", "")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(leaf.Certificate[0])
	if err != nil || cert.Subject.CommonName != "agent" {
		t.Fatalf("%v %v", cert, err)
	}
	verify := func(ca *Authority, now time.Time) error {
		roots := x509.NewCertPool()
		roots.AddCert(ca.Cert)
		_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		return err
	}
	for _, now := range []time.Time{time.Now(), time.Now().AddDate(-20, 0, 0), time.Now().AddDate(50, 0, 0)} {
		if err := verify(a, now); err != nil {
			t.Errorf("at %s: %v", now, err)
		}
	}
	if err := verify(b, time.Now()); !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Errorf("another authority: %v", err)
	}
}
