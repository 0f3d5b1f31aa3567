package webcharm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
)

// certificates are those of one unit, in a directory: of an authority whose key
// is thrown away once it has signed, of the server, and of the client that may
// scrape it.
type certificates struct{ dir string }

// How long certificates are good for, and how long before that new ones are
// made.
const (
	lifetime = 365 * 24 * time.Hour
	renewal  = 30 * 24 * time.Hour
)

func (c certificates) path(name string) string { return filepath.Join(c.dir, name) }

// valid reports whether all is there, for this host and for some time to come.
func (c certificates) valid(host string, now time.Time) bool {
	pair, err := tls.LoadX509KeyPair(c.path("server.crt"), c.path("server.key"))
	if err != nil || pair.Leaf.VerifyHostname(host) != nil {
		return false
	}
	if _, err := tls.LoadX509KeyPair(c.path("client.crt"), c.path("client.key")); err != nil {
		return false
	}
	ca, err := c.pool()
	if err != nil {
		return false
	}
	_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: ca, CurrentTime: now.Add(renewal)})
	return err == nil
}

// make makes new ones.
func (c certificates) make(unit, host string, now time.Time) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("cannot make certificates: %w", err)
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("cannot make certificates: %w", err)
	}
	ca := template(unit+" authority", now)
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	server := template(unit, now)
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if ip := net.ParseIP(host); ip != nil {
		server.IPAddresses = []net.IP{ip}
	} else {
		server.DNSNames = []string{host}
	}
	client := template("scraper of "+unit, now)
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}

	if err := c.sign("ca", ca, caKey, ca, caKey); err != nil {
		return err
	}
	for name, template := range map[string]*x509.Certificate{"server": server, "client": client} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return fmt.Errorf("cannot make certificates: %w", err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return fmt.Errorf("cannot make certificates: %w", err)
		}
		if err := c.write(name+".key", "PRIVATE KEY", der); err != nil {
			return err
		}
		if err := c.sign(name, template, key, ca, caKey); err != nil {
			return err
		}
	}
	return nil
}

func (c certificates) sign(name string, template *x509.Certificate, key *ecdsa.PrivateKey, ca *x509.Certificate, caKey *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		return fmt.Errorf("cannot make certificate %s: %w", name, err)
	}
	return c.write(name+".crt", "CERTIFICATE", der)
}

func (c certificates) write(name, kind string, der []byte) error {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := renameio.WriteFile(c.path(name), text, 0o600); err != nil {
		return fmt.Errorf("cannot write a certificate: %w", err)
	}
	return nil
}

func template(name string, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

func (c certificates) pool() (*x509.CertPool, error) {
	text, err := os.ReadFile(c.path("ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", c.path("ca.crt"))
	}
	return pool, nil
}

// scraper is what a Prometheus server needs to scrape the unit, as PEM texts.
type scraper struct{ ca, cert, key string }

func (c certificates) forScraper() (scraper, error) {
	var s scraper
	for name, to := range map[string]*string{"ca.crt": &s.ca, "client.crt": &s.cert, "client.key": &s.key} {
		text, err := os.ReadFile(c.path(name))
		if err != nil {
			return s, fmt.Errorf("cannot read the certificates: %w", err)
		}
		*to = string(text)
	}
	return s, nil
}

// serverConfig serves with the certificates as they are at each handshake, to
// those that have the client's.
func (c certificates) serverConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			pair, err := tls.LoadX509KeyPair(c.path("server.crt"), c.path("server.key"))
			if err != nil {
				return nil, err
			}
			pool, err := c.pool()
			if err != nil {
				return nil, err
			}
			return &tls.Config{
				MinVersion:   tls.VersionTLS13,
				Certificates: []tls.Certificate{pair},
				ClientAuth:   tls.RequireAndVerifyClientCert,
				ClientCAs:    pool,
				NextProtos:   []string{"h2", "http/1.1"},
			}, nil
		},
	}
}
