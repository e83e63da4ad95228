// SPDX-License-Identifier: Apache-2.0

// Softmax regression, and the pictures of Fashion-MNIST.
//
// The same bits as in the other languages: floats are computed in double, in the order of the loops
// of c/softmax.c, by + - * / alone; so no math.Exp, whose last bit differs between machines. Go may
// fuse a*b + c into one rounding, but not across a conversion: float64(a*b) + c.
package main

import (
	"compress/gzip"
	"io"
	"log"
	"os"
)

const (
	pixels, classes, batch, steps, test = 784, 10, 16, 50, 1000
	biases, all                         = classes * pixels, classes*pixels + classes
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatalln(err)
	}
	return value
}

type picture struct {
	image []byte
	label int
}

// e^x for x <= 0: the series of e^(x/1024) up to x^12, squared ten times.
func exponential(x float64) float64 {
	if x < -700 {
		return 0
	}
	p := 1.0
	for k := 12; k > 0; k-- {
		p = 1 + x/1024*p/float64(k)
	}
	for i := 0; i < 10; i++ {
		p = p * p
	}
	return p
}

// w holds W row by row and then b: W x + b, and the class of the highest.
func score(w []float32, image []byte) (scores [classes]float64, best int) {
	for k := range scores {
		z := float64(w[biases+k])
		for j, p := range image {
			z = z + float64(float64(w[k*pixels+j])*(float64(p)/255))
		}
		scores[k] = z
		if z > scores[best] {
			best = k
		}
	}
	return
}

// Of the mean cross entropy over the batch, laid out as w is.
func gradient(w []float32, pictures []picture) []float32 {
	sum, grad := make([]float64, all), make([]float32, all)
	for _, picture := range pictures {
		z, best := score(w, picture.image)
		var e [classes]float64
		total := 0.0
		for k := range z {
			e[k] = exponential(z[k] - z[best])
			total = total + e[k]
		}
		for k := range e {
			miss := e[k] / total
			if k == picture.label {
				miss = miss - 1
			}
			for j, p := range picture.image {
				sum[k*pixels+j] = sum[k*pixels+j] + float64(miss*(float64(p)/255))
			}
			sum[biases+k] = sum[biases+k] + miss
		}
	}
	for i := range sum {
		grad[i] = float32(sum[i] / batch)
	}
	return grad
}

func countRight(w []float32, pictures []picture) (right int) {
	for _, picture := range pictures {
		if _, best := score(w, picture.image); best == picture.label {
			right++
		}
	}
	return
}

func readFile(name string, header, count int) []byte {
	file := must(os.Open(name))
	defer file.Close()
	content := make([]byte, header+count)
	must(io.ReadFull(must(gzip.NewReader(file)), content))
	return content[header:]
}

// The first count pictures.
func readPictures(folder, set string, count int) (pictures []picture) {
	images := readFile(folder+"/"+set+"-images-idx3-ubyte.gz", 16, count*pixels)
	for i, label := range readFile(folder+"/"+set+"-labels-idx1-ubyte.gz", 8, count) {
		pictures = append(pictures, picture{images[i*pixels : (i+1)*pixels], int(label)})
	}
	return
}
