package providercharm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
)

// A wanted load balancer is a request as the driver understands it.
type wanted struct {
	LoadBalancer distributor.LoadBalancer
	VIP          distributor.VIP
	Algorithm    distributor.Algorithm
	Persistence  distributor.Persistence
	Amphorae     []distributor.Amphora
}

// balancerID names a request's load balancer. IDs in requests are made by
// others; a relation's number and a name are not shared by two.
func balancerID(relation int, name string) string {
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("r%d-%s", relation, hex.EncodeToString(sum[:8]))
}

// relationOf returns the number of the relation that a load balancer is for.
func relationOf(id string) (int, bool) {
	number, _, _ := strings.Cut(strings.TrimPrefix(id, "r"), "-")
	n, err := strconv.Atoi(number)
	return n, err == nil && strings.HasPrefix(id, "r")
}

// addresses are those that load balancers may receive on, the usual one first.
type addresses []netip.Addr

// translate returns what a request asks for, or everything that is wrong with
// it as joined *distributor.Unsupported.
func translate(ctx context.Context, in *loadbalancer.Incoming, at addresses, c distributor.Checker) (wanted, error) {
	var errs []error
	wrong := func(field loadbalancer.Field, format string, args ...any) {
		errs = append(errs, &distributor.Unsupported{Field: string(field), Reason: fmt.Sprintf(format, args...)})
	}
	id := balancerID(in.Relation().Number(), in.Name())
	w := wanted{
		LoadBalancer: distributor.LoadBalancer{ID: id, Name: in.Relation().ID() + " " + in.Name()},
		VIP:          distributor.VIP{ID: id, Address: at[0], Protocol: distributor.Protocol(in.Protocol)},
	}
	if in.IngressAddress != nil && *in.IngressAddress != "" {
		address, err := netip.ParseAddr(*in.IngressAddress)
		if err != nil || !slices.Contains(at, address) {
			wrong(loadbalancer.FieldIngressAddress, "not one of the addresses of this load balancer")
		} else {
			w.VIP.Address = address
		}
	}
	if len(in.PortMapping) == 0 {
		wrong(loadbalancer.FieldPortMapping, "there are no ports")
	}
	for front, back := range in.PortMapping {
		if !isPort(front) || !isPort(back) {
			wrong(loadbalancer.FieldPortMapping, "%d: %d are not two ports", front, back)
			continue
		}
		w.VIP.Ports = append(w.VIP.Ports, distributor.PortMapping{Front: uint16(front), Back: uint16(back)})
	}
	for i, hc := range in.HealthChecks {
		if !isPort(hc.Port) || hc.Interval < 1 || hc.Interval > 24*60*60 || hc.Retries < 1 {
			wrong(loadbalancer.FieldHealthChecks, "[%d]: port, interval or retries are out of range", i)
			continue
		}
		check := distributor.HealthCheck{
			Protocol: distributor.Protocol(hc.Protocol), Port: uint16(hc.Port),
			Interval: time.Duration(hc.Interval) * time.Second, Retries: hc.Retries,
		}
		if hc.Path != nil {
			check.Path = *hc.Path
		}
		w.VIP.HealthChecks = append(w.VIP.HealthChecks, check)
	}
	for _, backend := range in.Backends {
		amphora, err := amphoraOf(backend)
		if err != nil {
			wrong(loadbalancer.FieldBackends, "not an address: %.60q", backend)
			continue
		}
		if !slices.Contains(w.Amphorae, amphora) {
			w.Amphorae = append(w.Amphorae, amphora)
		}
	}
	cert, key := "", []byte(nil)
	if in.TLSCert != nil {
		cert = *in.TLSCert
	}
	if in.TLSKey != nil {
		key = []byte(in.TLSKey.Reveal())
	}
	if in.TLSTermination {
		w.VIP.TLS = &distributor.TLS{Certificate: cert, Key: flow.NewSecret(key)}
	} else {
		// Nothing that is asked for is passed over in silence.
		if cert != "" {
			wrong(loadbalancer.FieldTLSCert, "there is no use for it without tls_termination")
		}
		if len(key) > 0 {
			wrong(loadbalancer.FieldTLSKey, "there is no use for it without tls_termination")
		}
	}
	if in.Sticky {
		w.Persistence = distributor.SourceIPPersistence
		if in.Protocol == loadbalancer.HTTP || in.Protocol == loadbalancer.HTTPS && in.TLSTermination {
			w.Persistence = distributor.CookiePersistence
		}
	}
	w.VIP = w.VIP.Canonical()
	if len(errs) > 0 {
		return w, errors.Join(append(errs, w.VIP.Validate())...)
	}
	var err error
	w.Algorithm, err = chooseAlgorithm(ctx, in.Algorithm, w, c)
	return w, err
}

func isPort(n int) bool { return n >= 1 && n <= 65535 }

func amphoraOf(backend string) (distributor.Amphora, error) {
	address, err := netip.ParseAddr(backend)
	if err != nil {
		return distributor.Amphora{}, err
	}
	a := distributor.Amphora{ID: strings.ReplaceAll(address.String(), ":", "-"), Address: address}
	return a, a.Validate()
}

// chooseAlgorithm returns the first algorithm that has a name here and that the
// driver has. Names that nobody knows are passed over while there are others.
func chooseAlgorithm(ctx context.Context, names []string, w wanted, c distributor.Checker) (distributor.Algorithm, error) {
	var known []distributor.Algorithm
	var unknown error
	for _, name := range names {
		algorithm, err := distributor.ParseAlgorithm(name)
		if err != nil {
			unknown = errors.Join(unknown, err)
			continue
		}
		known = append(known, algorithm)
	}
	if len(known) == 0 && unknown != nil {
		return "", errors.Join(unknown, c.CheckVIP(ctx, w.VIP, distributor.AnyAlgorithm, w.Persistence))
	}
	return distributor.FirstSupported(ctx, c, w.VIP, known, w.Persistence)
}
