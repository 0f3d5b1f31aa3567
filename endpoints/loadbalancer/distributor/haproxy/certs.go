package haproxy

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/converge"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/probe"
)

// certificates puts the certificates of VIPs into force. Before a reload the
// files are enough; otherwise the running worker is given them, and then the
// files, so that a kill between leaves a difference to be found. Undo restores
// the files.
func (b *backend) certificates(ctx context.Context, want *converge.State, reload bool) (undo func() error, err error) {
	type file struct {
		path    string
		content []byte
	}
	var olds []file
	undo = func() error {
		var errs []error
		for _, f := range olds {
			if f.content == nil {
				errs = append(errs, os.Remove(f.path))
				continue
			}
			errs = append(errs, converge.WriteFile(f.path, f.content))
		}
		return errors.Join(errs...)
	}
	for _, d := range want.Sorted() {
		for _, v := range d.SortedVIPs() {
			if v.TLS == nil {
				continue
			}
			bundle, leaf, err := pemBundle(v.TLS)
			if err != nil {
				return undo, errors.Join(fmt.Errorf("cannot use the certificate of VIP %s: %w", v.ID, err), undo())
			}
			path := b.certPath(v.ID)
			have, err := os.ReadFile(path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return undo, errors.Join(fmt.Errorf("cannot read a certificate: %w", err), undo())
			}
			same := bytes.Equal(have, bundle)
			if !reload {
				served, err := b.servedCert(ctx, path)
				if err != nil {
					return undo, errors.Join(fmt.Errorf("cannot ask HAProxy: %w", err), undo())
				}
				if !same || served != leaf {
					if err := b.setCert(ctx, path, bundle); err != nil {
						return undo, errors.Join(fmt.Errorf("cannot rotate the certificate of VIP %s: %w", v.ID, err), undo())
					}
					probe.Hit(ctx, "haproxy: certificate rotated")
				}
			}
			if same {
				continue
			}
			olds = append(olds, file{path, have})
			if err := converge.WriteFile(path, bundle); err != nil {
				return undo, errors.Join(fmt.Errorf("cannot write a certificate: %w", err), undo())
			}
			probe.Hit(ctx, "haproxy: certificate written")
		}
	}
	return undo, nil
}

// pemBundle returns the certificates and the key as one PEM text with nothing
// else in it, and the fingerprint of the first certificate.
func pemBundle(t *distributor.TLS) (bundle []byte, fingerprint string, err error) {
	key, err := t.Key.Reveal()
	if err != nil {
		return nil, "", err
	}
	var out bytes.Buffer
	for _, text := range [][]byte{[]byte(t.Certificate), key} {
		for {
			var block *pem.Block
			if block, text = pem.Decode(text); block == nil {
				break
			}
			// Headers would be the one place for an empty line.
			if err := pem.Encode(&out, &pem.Block{Type: block.Type, Bytes: block.Bytes}); err != nil {
				return nil, "", err
			}
			if block.Type == "CERTIFICATE" && fingerprint == "" {
				sum := sha1.Sum(block.Bytes) // as HAProxy shows it
				fingerprint = strings.ToUpper(hex.EncodeToString(sum[:]))
			}
		}
	}
	if fingerprint == "" {
		return nil, "", errors.New("there is none in it")
	}
	return out.Bytes(), fingerprint, nil
}

// dropCertificates removes files that no VIP needs.
func (b *backend) dropCertificates(want *converge.State) error {
	used := map[string]bool{}
	for _, d := range want.Distributors {
		for _, v := range d.VIPs {
			if v.TLS != nil {
				used[v.ID+".pem"] = true
			}
		}
	}
	entries, err := os.ReadDir(b.path("certs"))
	if err != nil {
		return fmt.Errorf("cannot remove old certificates: %w", err)
	}
	for _, e := range entries {
		if !used[e.Name()] {
			if err := os.Remove(filepath.Join(b.path("certs"), e.Name())); err != nil {
				return fmt.Errorf("cannot remove an old certificate: %w", err)
			}
		}
	}
	return nil
}
