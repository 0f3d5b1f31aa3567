package haproxy

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
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
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/durable"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/probe"
)

// certificates puts the certificates of VIPs into force. Before a reload the
// files are enough; otherwise the running worker is given them, and then the
// files, so that a kill between leaves a difference to be found. Undo restores
// the files. Written are those that are not what they were before.
func (b *backend) certificates(ctx context.Context, want *converge.State, reload bool) (written []string, undo func() error, err error) {
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
			errs = append(errs, durable.WriteFile(f.path, f.content))
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
				return written, undo, errors.Join(fmt.Errorf("cannot use the certificate of VIP %s: %w", v.ID, err), undo())
			}
			path := b.certPath(v.ID)
			have, err := os.ReadFile(path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return written, undo, errors.Join(fmt.Errorf("cannot read a certificate: %w", err), undo())
			}
			same := bytes.Equal(have, bundle)
			if !reload {
				served, err := b.servedCert(ctx, path)
				if err != nil {
					return written, undo, errors.Join(fmt.Errorf("cannot ask HAProxy: %w", err), undo())
				}
				if !same || served != leaf {
					if err := b.setCert(ctx, path, bundle); err != nil {
						return written, undo, errors.Join(fmt.Errorf("cannot rotate the certificate of VIP %s: %w", v.ID, err), undo())
					}
					probe.Hit(ctx, "haproxy: certificate rotated")
				}
			}
			if same {
				continue
			}
			olds, written = append(olds, file{path, have}), append(written, path)
			if err := durable.WriteFile(path, bundle); err != nil {
				return written, undo, errors.Join(fmt.Errorf("cannot write a certificate: %w", err), undo())
			}
			probe.Hit(ctx, "haproxy: certificate written")
		}
	}
	return written, undo, nil
}

// maxCommand is the longest certificate that the running HAProxy is given. It
// ends a connection whose command does not fit into its buffer of 16 KiB, part of
// which it keeps for itself.
const maxCommand = 12 << 10

// longDigest identifies a certificate that only a reload can bring into force; ""
// stands for one that the running HAProxy can be given.
func longDigest(t *distributor.TLS) string {
	bundle, _, err := pemBundle(t)
	if err != nil || len(bundle) <= maxCommand {
		return ""
	}
	sum := sha256.Sum256(bundle)
	return hex.EncodeToString(sum[:12])
}

// refusedCert says that HAProxy does not take a certificate that it was given,
// which is for those to mend whose certificate it is. Of all that HAProxy says it
// gives the line about the file, without its name.
func refusedCert(path, said string) error {
	file := " '" + path + "'"
	why := firstLine(said)
	for line := range strings.Lines(said) {
		if strings.Contains(line, file) {
			why = line
			break
		}
	}
	why = why[strings.LastIndex(why, " : ")+1:]
	why = strings.Trim(strings.ReplaceAll(strings.ReplaceAll(why, file, ""), path, "it"), " :.\n")
	return &distributor.Unsupported{Field: "tls_cert", Reason: fmt.Sprintf("HAProxy does not take it: %.300s", why)}
}

// pemBundle returns the certificates and the key as one PEM text with nothing
// else in it, and the fingerprint of the first certificate.
func pemBundle(t *distributor.TLS) (bundle []byte, fingerprint string, err error) {
	key, err := t.Key.Reveal()
	if err != nil {
		return nil, "", err
	}
	var out bytes.Buffer
	for i, text := range [][]byte{[]byte(t.Certificate), key} {
		for hasKey := false; ; {
			var block *pem.Block
			if block, text = pem.Decode(text); block == nil {
				break
			}
			// The ones that were found to be a pair.
			isKey := strings.HasSuffix(block.Type, "PRIVATE KEY")
			if i == 0 && block.Type != "CERTIFICATE" || i == 1 && (!isKey || hasKey) {
				continue
			}
			hasKey = isKey
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
