package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Wanted is one certificate to make. Without an issuer it is an authority of its own.
type Wanted struct {
	File   string
	Issuer string
	Name   string
	Groups []string
	Hosts  []string
}

type pair struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// pki reads a list of Wanted from standard input and writes FILE.crt and FILE.key of each into the folder.
func pki(folder string) {
	var all []Wanted
	fail(json.NewDecoder(os.Stdin).Decode(&all))
	authorities := map[string]pair{}
	for _, it := range all {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		fail(err)
		serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
		fail(err)
		template := &x509.Certificate{
			SerialNumber: serial,
			Subject:      pkix.Name{CommonName: it.Name, Organization: it.Groups},
			NotBefore:    time.Now().Add(-time.Hour),
			NotAfter:     time.Now().AddDate(1, 0, 0),
			KeyUsage:     x509.KeyUsageDigitalSignature,
			ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
		for _, host := range it.Hosts {
			if ip := net.ParseIP(host); ip != nil {
				template.IPAddresses = append(template.IPAddresses, ip)
			} else {
				template.DNSNames = append(template.DNSNames, host)
			}
		}
		issuer := pair{template, key}
		if it.Issuer == "" {
			template.IsCA, template.BasicConstraintsValid = true, true
			template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature, nil
		} else {
			issuer = authorities[it.Issuer]
		}
		der, err := x509.CreateCertificate(rand.Reader, template, issuer.certificate, &key.PublicKey, issuer.key)
		fail(err)
		if it.Issuer == "" {
			made, err := x509.ParseCertificate(der)
			fail(err)
			authorities[it.File] = pair{made, key}
		}
		secret, err := x509.MarshalECPrivateKey(key)
		fail(err)
		write(filepath.Join(folder, it.File+".crt"), "CERTIFICATE", der)
		write(filepath.Join(folder, it.File+".key"), "EC PRIVATE KEY", secret)
	}
}

func write(file, kind string, der []byte) {
	fail(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}
